#!/bin/sh
# signal_tree NAME WHOM
#
# Sends a signal to the processes of a oneshot's command; for its watcher. The client gives the order again and again
# until the command has ended, because the watcher cannot wait: it would not see the end of the lease. Each process gets
# the signal once. What is overlooked here is killed once the command has ended.
#
# The command's own shell gets it only when the other processes have ended and it goes on. It would end at once, and
# with it the command, while the program in it still has last words to say and an exit status to report. WHOM is
# "program" for a command without a shell of its own.
signalled=' '
looks=0
signal_tree() {
    signal=$1
    whom=$2
    read -r self line </proc/self/stat
    read -r line </proc/$$/stat
    # Into its fields from the third on: $1 is the state, $2 the parent, ${20} the start time.
    # shellcheck disable=SC2086
    set -- ${line##*) }
    born=${20}
    shells=
    others=
    walk_tree signal_visit " $$ $self " || return
    if [ "$signalled" != ' ' ]; then
        # Two looks, because a shell whose program has ended needs a moment to end, too.
        looks=$((looks + 1))
        [ "$looks" -ge 2 ] || return
        others="$others$shells"
    fi
    for pid in ${others:-$shells}; do
        kill -s "$signal" "$pid" 2>/dev/null
        signalled="$signalled$pid "
    done
}

# The visitor of the walk: adds a process to $shells or $others. It ends the walk at one that has the signal already.
signal_visit() {
    hit=
    # shellcheck disable=SC2154 # walk_tree sets it
    case $found in
    *" $2 "*) hit=1 ;;
    *)
        # Reading environments is what takes the time on a busy machine.
        [ -z "$again" ] && [ "${20}" -ge "$born" ] || return 1
        # shellcheck disable=SC2154 # the wrapper has the tag
        read_environ "OTTO_TAG=$otto_tag" "OTTO_TAG=$otto_tag"
        ;;
    esac
    [ "$hit" ] || return
    case $signalled in
    *" $pid "*)
        looks=0
        return 2
        ;;
    esac
    # The children of the wrapper are parts of it: what runs the command, and what feeds it.
    [ "$2" = "$$" ] && return
    parent=
    { read -r line <"/proc/$2/stat"; } 2>/dev/null && parent=${line##*) ? } && parent=${parent%% *}
    if [ "$parent" = "$$" ] && [ "$whom" != program ]; then
        shells="$shells $pid"
    else
        others="$others $pid"
    fi
}
