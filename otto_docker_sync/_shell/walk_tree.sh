#!/bin/sh
# How kill_tree and signal_tree read /proc. There is no ps program in many containers, hence built-ins and /proc.

# walk_tree VISITOR SPARED
#
# Calls VISITOR for each process but zombies and those in SPARED, which has a space before and after each number. $pid
# is the process, $dir its directory, and the arguments are the fields of its stat line from the third on: $1 is the
# state, $2 the parent, $3 the process group, $4 the session, $6 the foreground group of the terminal, ${20} the start
# time. VISITOR returns 0 for a process that is wanted, which adds it to $found; 2 ends the walk, and fails it.
walk_tree() {
    visitor=$1
    spared=$2
    found=' '
    # /proc is in no order of descent, so it is read until nothing is added.
    grown=1
    while [ "$grown" = 1 ]; do
        grown=0
        for dir in /proc/[0-9]*; do
            pid=${dir#/proc/}
            case "$found$spared" in
            *" $pid "*) continue ;;
            esac
            { read -r line <"$dir/stat"; } 2>/dev/null || continue
            # Into its fields: behind the last ")", because the name in front may hold anything.
            # shellcheck disable=SC2086
            set -- ${line##*) }
            case $1 in
            Z | X) continue ;;
            esac
            "$visitor" "$@"
            case $? in
            0)
                found="$found$pid "
                grown=1
                ;;
            2) return 1 ;;
            esac
        done
    done 2>/dev/null
    return 0
}

# read_environ NEEDLE OTHER
#
# Sets $hit if the environment of the process $pid has NEEDLE, and otherwise clears $member if it has OTHER. Sets
# $readable if it can be read.
read_environ() {
    readable=
    {
        readable=1
        while read -r line || [ "$line" ]; do
            case $line in
            *"$1"*)
                hit=1
                break
                ;;
            *"$2"*)
                member=
                break
                ;;
            esac
        done
    } 2>/dev/null <"$dir/environ"
}
