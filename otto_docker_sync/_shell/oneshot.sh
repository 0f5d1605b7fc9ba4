#!/bin/sh
# Runs the command that comes on stdin, in a shell of its own. Stdin stays open after it, as the stdin lease: when it
# ends, because the client is gone or out of patience, a watcher kills the command's whole tree.
. ./oneshot_common.sh
: "${otto_nonce?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_end?}" "${otto_exports?}"

otto_read_text || exit 1
otto_script=$otto_text

{
    # A terminal that hangs up, or sudo that ends, must not keep it from its work.
    trap '' HUP INT PIPE TERM
    while read -r line <&3; do
        :
    done
    otto_end_tree
} >/dev/null 5>&- 6<&- &
otto_watcher=$!

otto_print_begin
otto_run
otto_status=$?
kill -9 "$otto_watcher"
wait "$otto_watcher"
otto_print_end
otto_wait_for_reader
exit "$otto_status"
