#!/bin/sh
# A spare shell: it waits for oneshots, and runs one after another, each as oneshot.sh does, in a new shell of its own.
# It serves as long as nobody can tell it from a shell that was started just now. Otherwise it ends, and leaves alone
# what a command has left running.
#
# A oneshot is a line with four nonces, then lines that set its environment, then its command, each of these closed by a
# line that is the first nonce. When the shell is ready for one, it says so by a marker.
. ./oneshot_common.sh
: "${otto_ready_first?}" "${otto_ready_second?}"

# otto_read_flags: what the command's stdout and stderr are set to, in otto_flags.
otto_read_flags() {
    {
        read -r otto_line
        read -r otto_line otto_flags
    } </proc/self/fdinfo/4
    {
        read -r otto_line
        read -r otto_line otto_line
    } </proc/self/fdinfo/5
    otto_flags="$otto_flags $otto_line"
}

# otto_is_alone: nothing is left of a command that was started at the clock tick otto_since or later. Without a look at
# all processes nobody knows that.
otto_is_alone() {
    [ -e "/proc/$$/stat" ] || return 1
    # Not every shell can compare two files.
    # shellcheck disable=SC3013
    [ "/proc/$$/fd/4" -ef "/proc/$$/fd/4" ] || return 1
    read_stats
    set -f
    otto_separators=$IFS
    IFS='
'
    # shellcheck disable=SC2086 # into its lines
    set -- $otto_lines
    IFS=$otto_separators
    set +f
    for otto_line; do
        otto_dir=/proc/${otto_line%% *}
        # shellcheck disable=SC2086 # into its fields: see walk_tree
        set -- ${otto_line##*) }
        case $otto_dir:$1 in
        "/proc/$$":* | *:[ZX]) continue ;;
        esac
        # It is in the session that began with this shell; head was, too.
        if [ "$4" = "$$" ]; then
            [ ! -e "$otto_dir" ] || return 1
            continue
        fi
        # What docker starts has its parent outside of the container, and no environment yet.
        [ "$2" != 0 ] || continue
        [ "${20}" -ge "$otto_since" ] || continue
        # Nobody can join a session, so in one that docker has begun, or that is older, nothing is this command's.
        { read -r otto_line <"/proc/$4/stat"; } || otto_line=
        # shellcheck disable=SC2086
        set -- ${otto_line##*) }
        [ "${2:-1}" != 0 ] || continue
        [ "${20:-$otto_since}" -ge "$otto_since" ] || continue
        # A new process. It is somebody else's if it says so: with an environment that holds no tag of ours, and without
        # our descriptors.
        otto_words=
        while read -r otto_line || [ "$otto_line" ]; do
            otto_words=$otto_words$otto_line
        done <"$otto_dir/environ"
        case $otto_words in
        '' | *"OTTO_TAG=$otto_tag"*)
            # Gone by now, perhaps.
            [ ! -e "$otto_dir" ] || return 1
            continue
            ;;
        esac
        for otto_file in "$otto_dir"/fd/*; do
            # shellcheck disable=SC3013
            if [ "$otto_file" -ef "/proc/$$/fd/4" ] || [ "$otto_file" -ef "/proc/$$/fd/5" ]; then
                return 1
            fi
        done
    done
}

otto_directory=$PWD
otto_read_flags
otto_first_flags=$otto_flags
otto_since=
while :; do
    if [ -n "$otto_since" ]; then
        otto_read_flags
        [ "$otto_flags" = "$otto_first_flags" ] && otto_is_alone || exit 0
    fi
    command printf '<%s%s>\n' "$otto_ready_first" "$otto_ready_second" >&4
    read -r otto_nonce otto_begin_first otto_begin_second otto_end <&3 || exit 0
    otto_read_text || exit 0
    otto_exports=$otto_text
    otto_read_text || exit 0
    otto_script=$otto_text
    # The directory may be another one of the same name by now.
    cd -- "$otto_directory" || exit 0
    unset OLDPWD
    {
        # As in oneshot.sh.
        trap '' HUP INT PIPE TERM
        while read -r line <&3; do
            :
        done
        otto_end_tree
    } >/dev/null 5>&- 6<&- &
    otto_watcher=$!
    { read -r otto_line <"/proc/$otto_watcher/stat"; } || otto_line=
    # shellcheck disable=SC2086
    set -- ${otto_line##*) }
    otto_since=${20:-0}
    otto_print_begin
    otto_run
    otto_status=$?
    kill -9 "$otto_watcher"
    wait "$otto_watcher"
    otto_print_end
done
