#!/bin/sh
# What oneshot.sh, oneshot_input.sh and spare.sh have in common. From here on 3 is the stdin lease, behind which the
# client sends what is to be done, 4 and 5 are the command's stdout and stderr, and 6 is its stdin. What this shell
# itself has to say goes nowhere.
#
# otto_tag      what all processes of the command carry in their environment as OTTO_TAG
# otto_streams  the descriptors on which the client looks for the markers: "4 5", or "4" where stdout and stderr are one
# otto_stderr   the descriptor of the command's stderr: 2, or 1
# otto_shell    the shell of the command, which may be another than the one that reads this
# otto_command  command.sh, for that shell
#
# shellcheck disable=SC2154 # what a oneshot brings with it: otto_nonce, otto_begin_*, otto_end, otto_exports
. ./kill_tree.sh
. ./wait_for_reader.sh
: "${otto_tag?}" "${otto_streams?}" "${otto_stderr?}" "${otto_shell?}" "${otto_command?}"

exec 3<&0 </dev/null 4>&1 5>&"$otto_stderr" 2>/dev/null 6<&0

# Something on the way may have joined the two, and the client could not take them apart. Where `test` has no -ef, or
# the joining is done further away, the client finds out by the markers.
# shellcheck disable=SC3013
if [ "$otto_streams" = "4 5" ] && [ /dev/fd/4 -ef /dev/fd/5 ]; then
    echo "<$otto_tag:joined>" >&4
    exit 1
fi

# otto_read_text: read into otto_text what comes up to a line that is otto_nonce. Fails if that line does not come.
# Adding line after line to one long text would be quadratic, so they are collected in blocks first.
otto_read_text() {
    otto_text=
    otto_block=
    otto_count=0
    while IFS= read -r otto_line; do
        if [ "$otto_line" = "$otto_nonce" ]; then
            otto_text=$otto_text$otto_block
            return 0
        fi
        otto_block="$otto_block$otto_line
"
        otto_count=$((otto_count + 1))
        if [ "$otto_count" = 200 ]; then
            otto_text=$otto_text$otto_block
            otto_block=
            otto_count=0
        fi
    done <&3
    return 1
}

# otto_end_tree: for the watcher, when the lease has ended: kill the command's whole tree, and say on 4 what is left of
# it. $$ is the wrapper, there as well.
otto_end_tree() {
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
    kill_tree "OTTO_TAG=$otto_tag" "$$" 0 '' "$$"
    otto_status=$?
    kill -9 $$
    # After that, because it may have to wait for a reader.
    printf '<%s:%s%s|%s>\n' "$otto_end" "$otto_status" "$left" "$unseen" >&4
}

otto_print_begin() {
    for otto_stream in $otto_streams; do
        command printf '<%s%s>\n' "$otto_begin_first" "$otto_begin_second" >&"$otto_stream"
    done
}

# otto_run: run the command otto_script, with the environment otto_exports. It has a shell of its own, so that $$ is the
# command's, and `kill -9 $$` does not hit this one. The text goes through a pipe: as an argument everybody could read
# it. It is run from the first line, from which shells count its lines.
otto_run() {
    # shellcheck disable=SC2016
    otto_start='set -- "$1" "$2" "${LINENO-}"; eval "$2"; eval "shift; $1"'
    {
        read -r otto_writer otto_line </proc/self/stat
        command printf '%s\n%s%s\n%s' "$otto_writer" "$otto_exports" "$otto_nonce" "$otto_script"
    } 3<&- 6<&- |
        "$otto_shell" -c "$otto_start" "$otto_shell" "$otto_nonce" "$otto_command" 3<&0 <&6 2>&5 4>&- 5>&- 6<&-
}

otto_print_end() {
    for otto_stream in $otto_streams; do
        printf '<%s:%d>' "$otto_end" "$otto_status" >&"$otto_stream"
    done
}
