#!/bin/sh
# Print what a container has printed; with --follow until it ends or stdin does.
#
# ago: nanoseconds before now from which on; empty is from the beginning.
: "${docker?}" "${options?}" "${container?}" "${ago?}"
. ./print_log.sh
. ./run_client.sh
eval "set -- $options"
if [ -n "$ago" ]; then
    # By the clock of this machine, which is the daemon's. The client itself takes whole seconds only.
    now=$(date +%s%N)
    case $now in
    *[!0-9]*) now=$(date +%s)000000000 ;;
    esac
    since=$((now - ago))
    [ "$since" -gt 0 ] || since=0
    set -- "$@" "--since=$((since / 1000000000)).$(printf %09d $((since % 1000000000)))"
fi
run_client print_log "$@" -- "$container"
