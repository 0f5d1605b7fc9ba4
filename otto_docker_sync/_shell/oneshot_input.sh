#!/bin/sh
# As oneshot.sh, for a command with an input, which follows it on stdin in messages of one line:
#
# +TEXT  bytes for the command, written as a format of printf; answered
# =TEXT  the same, not answered: it is the last
# N      a number: that many bytes follow, as they are, for dd; answered
# .      the end of the input
# signal NAME WHOM
#        not for the command: the watcher sends this signal to the command's processes, see signal_tree.sh
#
# An answer is the marker <NONCE:0> on stderr, or <NONCE:1> if there is a dd that can read N bytes. It comes when the command has
# taken the bytes, and no message is sent before it. So the watcher always gets to read on, and sees the end of the
# lease, even if the command never reads: a message that the command does not take waits in the memory of the feeder.
#
# otto_answers  the nonce of these markers
# otto_signals  signal_tree.sh; empty where no order to send a signal comes
. ./oneshot_common.sh
: "${otto_nonce?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_end?}" "${otto_exports?}" "${otto_answers?}"
: "${otto_signals?}"

otto_read_text || exit 1
otto_script=$otto_text

otto_print_pid() {
    { read -r self line </proc/self/stat; } || self=$(exec sh -c 'echo "$PPID"')
    printf '%s\n' "$self"
}

# Runs something that may have to wait for long, with descriptor 7 as its stdin. On SIGALRM it ends, and the shell that
# calls this: a program that the shell only left behind would be a zombie where process 1 collects no orphans.
otto_interruptibly() {
    trap 'kill -9 "$!"; wait; exit 1' ALRM
    "$@" <&7 &
    wait "$!"
    otto_status=$?
    trap - ALRM
    return "$otto_status"
}

# The watcher tells this shell by a signal that an order came. The shell takes note once the command has ended.
otto_told=
trap otto_told=1 USR1
eval "$otto_signals"

# Before anything is answered: the client looks for answers only after these markers.
otto_print_begin
{
    # The watcher. It reads all of a message at once, and passes it on.
    trap '' HUP INT PIPE TERM
    exec 7<&3
    otto_print_pid
    while IFS= read -r line <&3; do
        case $line in
        signal\ *)
            # The wrapper is told first: once the command has ended, it kills what is left.
            kill -USR1 $$
            # shellcheck disable=SC2086 # into its words
            signal_tree ${line#signal }
            continue
            ;;
        esac
        printf '%s\n' "$line"
        case $line in
        [1-9]*) otto_interruptibly dd bs="$line" count=1 iflag=fullblock ;;
        esac
    done
    # The command may just have ended: then the shell that waited for it sends this signal, and what has been stopped
    # below would stay so.
    trap '' ALRM
    # As the wrapper is, the shell that waits for the command is stopped first.
    for dir in /proc/[0-9]*; do
        { read -r line <"$dir/stat"; } || continue
        # shellcheck disable=SC2086 # into its fields
        set -- ${line##*) }
        [ "$2" = "$$" ] && [ "${dir#/proc/}" != "$self" ] && kill -STOP "${dir#/proc/}"
    done
    otto_end_tree
} 5>&- 6<&- | {
    # The feeder. It gives the command its input.
    exec 3<&- 4>&- 6<&- 7<&0
    read -r otto_watcher
    printf '%s ' "$otto_watcher"
    otto_print_pid
    otto_dd=0
    while IFS= read -r line; do
        case $line in
        .) break ;;
        [1-9]*) otto_interruptibly dd bs="$line" count=1 iflag=fullblock || break ;;
        *) otto_interruptibly command printf "${line#?}" || break ;;
        esac
        case $line in
        =*) continue ;;
        +*) otto_interruptibly dd if=/dev/null bs=1 count=1 iflag=fullblock && otto_dd=1 ;;
        esac
        printf '<%s:%d>' "$otto_answers" "$otto_dd" >&5
    done
    # It stays as long as the command, because it is going to be killed: its number must not be another process's then.
    exec >&- 5>&-
    while read -r line; do
        :
    done
} | {
    exec 3<&- 6<&0 </dev/null
    read -r otto_watcher otto_feeder <&6
    otto_run
    otto_status=$?
    kill -ALRM "$otto_watcher" "$otto_feeder"
    exit "$otto_status"
}
otto_status=$?
if [ -n "$otto_told" ]; then
    self=
    kill_tree "OTTO_TAG=$otto_tag" "$$" 0 '' "$$"
fi
otto_print_end
otto_wait_for_reader
exit "$otto_status"
