#!/bin/sh
# Runs the command that comes on stdin up to a line that is the nonce, in a shell of its own. Stdin stays open after
# it, as the stdin lease: when it ends, because the client is gone or out of patience, a watcher kills the command's
# whole tree. Until then the watcher takes orders, one a line:
#
# signal NAME WHOM   sends this signal to the command's processes, see signal_tree.sh
#
# otto_streams  the descriptors on which the client looks for the markers: "4 5", or "4" where stdout and stderr are one
# otto_stderr   the descriptor of the command's stderr: 2, or 1
# otto_shell    the shell of the command, which may be another than the one that reads this
# otto_command  command.sh, for that shell
# otto_signals  signal_tree.sh; empty where no such order comes
. ./kill_tree.sh
: "${otto_nonce?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_end?}"
: "${otto_streams?}" "${otto_stderr?}" "${otto_exports?}" "${otto_shell?}" "${otto_command?}"
: "${otto_signals?}"

# Adding line after line to one long text would be quadratic, so they are collected in blocks first.
otto_script=
otto_block=
otto_count=0
while IFS= read -r otto_line; do
    [ "$otto_line" = "$otto_nonce" ] && break
    otto_block="$otto_block$otto_line
"
    otto_count=$((otto_count + 1))
    if [ "$otto_count" = 200 ]; then
        otto_script=$otto_script$otto_block
        otto_block=
        otto_count=0
    fi
done
# A command that was cut off is not run.
[ "$otto_line" = "$otto_nonce" ] || exit 1
otto_script=$otto_script$otto_block

# 3 is the lease, 4 and 5 the command's stdout and stderr. What this shell itself has to say goes nowhere.
exec 3<&0 </dev/null 4>&1 5>&"$otto_stderr" 2>/dev/null

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
    # $$ is the wrapper, here as well.
    read -r self line </proc/self/stat
    # The wrapper is stopped first, or it would take the death of its child for the end and kill the watcher. A child
    # that it is just starting could be overlooked until it has stopped.
    kill -STOP $$
    round=0
    while [ "$round" -lt 9999 ] && read -r line </proc/$$/stat; do
        case ${line##*)} in
        ' T '*) break ;;
        esac
        round=$((round + 1))
    done
    kill_tree "OTTO_TAG=$otto_nonce" "$$" 0 '' "$$"
    otto_status=$?
    kill -9 $$
    # After that, because it may have to wait for a reader.
    printf '<%s:%s%s|%s>\n' "$otto_end" "$otto_status" "$left" "$unseen" >&4
} >/dev/null 5>&- &
otto_watcher=$!
exec 3<&-

for otto_stream in $otto_streams; do
    command printf '<%s%s>\n' "$otto_begin_first" "$otto_begin_second" >&"$otto_stream"
done
# A shell of its own, so that $$ is the command's, and `kill -9 $$` does not hit this one. The text goes through a pipe:
# as an argument everybody could read it. It is run from the first line, from which shells count its lines.
# shellcheck disable=SC2016
otto_start='set -- "$1" "$2" "${LINENO-}"; eval "$2"; eval "shift; $1"'
{
    read -r otto_writer otto_line </proc/self/stat
    command printf '%s\n%s%s\n%s' "$otto_writer" "$otto_exports" "$otto_nonce" "$otto_script"
} | "$otto_shell" -c "$otto_start" "$otto_shell" "$otto_nonce" "$otto_command" 3<&0 </dev/null 2>&5 4>&- 5>&-
otto_status=$?
if [ -n "$otto_told" ]; then
    self=$otto_watcher
    kill_tree "OTTO_TAG=$otto_nonce" "$$" 0 '' "$$"
fi
kill -9 "$otto_watcher"
wait "$otto_watcher"
for otto_stream in $otto_streams; do
    printf '<%s:%d>' "$otto_end" "$otto_status" >&"$otto_stream"
done
exit "$otto_status"
