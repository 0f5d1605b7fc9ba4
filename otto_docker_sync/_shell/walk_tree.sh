#!/bin/sh
# How /proc is read. There is no ps program in many containers, hence built-ins and /proc. But a shell reads byte by
# byte, so where there is much to read, head does it, if there is one.

# read_stats: reads into otto_lines the stat line of each process, that of head among them. Sets no other variable than
# ours: the shell may be one whose variables a command inherits.
read_stats() {
    otto_lines=
    set -- /proc/[0-9]*/stat
    # The first line alone: a process with a line end in its name could pose as another one.
    [ $# -lt 50 ] || otto_lines=$(head -qn1 "$@")
    if [ -z "$otto_lines" ]; then
        for otto_line; do
            read -r otto_line <"$otto_line" && otto_lines="$otto_lines$otto_line
"
        done
    fi
} 2>/dev/null

# walk_tree VISITOR SPARED
#
# Calls VISITOR for each process but zombies and those in SPARED, which has a space before and after each number. $pid
# is the process, and the arguments are the fields of its stat line from the third on: $1 is the state, $2 the parent,
# $3 the process group, $4 the session, $6 the foreground group of the terminal, ${20} the start time. VISITOR returns 0
# for a process that is wanted, which adds it to $found; 2 ends the walk, and fails it.
#
# /proc is in no order of descent, so what was read is walked through until nothing is added. $again is set from the
# second time on: then only what was found meanwhile can make a difference.
walk_tree() {
    visitor=$1
    spared=$2
    found=' '
    again=
    read_stats
    set -f
    IFS='
'
    # shellcheck disable=SC2086 # into its lines
    set -- $otto_lines
    unset IFS
    set +f
    grown=1
    while [ "$grown" ]; do
        grown=
        for line; do
            pid=${line%% *}
            case "$found$spared" in
            *" $pid "*) continue ;;
            esac
            # Behind the last ")", because the name in front may hold anything. Some shells take long for ##.
            line=${line#*) }
            case $line in
            *") "*) line=${line##*) } ;;
            esac
            case $line in
            [ZX]*) continue ;;
            esac
            # shellcheck disable=SC2086 # into its fields
            "$visitor" $line
            case $? in
            0)
                found="$found$pid "
                grown=1
                ;;
            2) return 1 ;;
            esac
        done
        again=1
    done
    return 0
} 2>/dev/null

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
    } 2>/dev/null <"/proc/$pid/environ"
}
