#!/bin/sh
# Runs the command that comes on stdin, in a shell of its own. Stdin stays open after it, as the stdin lease: when it
# ends, because the client is gone or out of patience, a watcher kills the command's whole tree. Until then the watcher
# takes orders, one a line:
#
# signal NAME WHOM   sends this signal to the command's processes, see signal_tree.sh
#
# otto_signals  signal_tree.sh; empty where no such order comes
. ./oneshot_common.sh
: "${otto_nonce?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_end?}" "${otto_exports?}" "${otto_signals?}"

otto_read_text || exit 1
otto_script=$otto_text

# The watcher tells this shell by a signal that an order came. The shell takes note once the command has ended.
otto_told=
trap otto_told=1 USR1

{
    # A terminal that hangs up, or sudo that ends, must not keep it from its work.
    trap '' HUP INT PIPE TERM
    eval "$otto_signals"
    while read -r order name whom <&3; do
        [ "$order" = signal ] || continue
        # The wrapper is told first: once the command has ended, it kills what is left.
        kill -USR1 $$
        signal_tree "$name" "$whom"
    done
    otto_end_tree
} >/dev/null 5>&- 6<&- &
otto_watcher=$!
exec 3<&-

otto_print_begin
otto_run
otto_status=$?
if [ -n "$otto_told" ]; then
    self=$otto_watcher
    kill_tree "OTTO_TAG=$otto_tag" "$$" 0 '' "$$"
fi
kill -9 "$otto_watcher"
wait "$otto_watcher"
otto_print_end
exit "$otto_status"
