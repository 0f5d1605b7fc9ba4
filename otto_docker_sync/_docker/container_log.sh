#!/bin/sh
# Print what a container has printed; with --follow until it ends or stdin does.
: "${docker?}" "${options?}" "${container?}"
. ./print_log.sh
exec 3<&0 </dev/null
eval "set -- $options"
print_log "$@" -- "$container" 3<&- &
client=$!
{
    while read -r line && [ "$line" != end ]; do :; done
    kill "$client"
} <&3 >/dev/null 2>&1 &
watcher=$!
wait "$client"
status=$?
kill "$watcher"
exit $status
