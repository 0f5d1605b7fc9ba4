#!/bin/sh
# kill_tree NEEDLE SID SINCE KEEP OLDEST
#
# Kills until a look at /proc finds nothing more: every process that
# - has NEEDLE in its environment, or
# - belongs to the session SID and started at SINCE (clock ticks since the machine's start) or later, or
# - is in the foreground of the terminal of the shell KEEP, or
# - descends from one of these.
# KEEP itself, process 1 and the caller ($self, and $$) are spared. Returns 1 if something may be left.
#
# Environments are read only of processes no older than the process OLDEST: on a busy machine, reading them is what
# takes the time. There is no ps and no kill program in many containers, hence built-ins and /proc.
kill_tree() {
    # An empty needle is in every environment.
    [ -n "$1" ] || return 1
    tree_needle=$1
    # The clock ticks a hundred times a second. What an earlier command started within the same tick as this one shows
    # by the name of its own run that it does not belong to this one.
    case $1 in
    OTTO_RUN=*) tree_others=OTTO_RUN= ;;
    *) tree_others=$1 ;;
    esac
    tree_sid=$2
    tree_since=$3
    tree_keep=$4
    tree_born=0
    # Behind the last ")" of a stat line stand the fields from the third on: $1 is the state, $2 the parent, $3 the
    # process group, $4 the session, $6 the foreground group of the terminal, ${20} the start time. The name in front
    # may hold anything.
    if [ -n "$5" ] && { read -r line <"/proc/$5/stat"; } 2>/dev/null; then
        # shellcheck disable=SC2086 # into its fields
        set -- ${line##*) }
        tree_born=${20}
    fi
    tree_round=0
    # A process that is just being started can be missed, so there is another round until one finds nothing.
    while [ "$tree_round" -lt 12 ]; do
        tree_round=$((tree_round + 1))
        found=' '
        sids=' '
        group=
        if [ -n "$tree_keep" ] && { read -r line <"/proc/$tree_keep/stat"; } 2>/dev/null; then
            # shellcheck disable=SC2086
            set -- ${line##*) }
            [ "$6" = "$3" ] || [ "$6" -le 1 ] || group=$6
        fi
        # /proc is in no order of descent, so it is read until nothing is added.
        grown=1
        while [ "$grown" = 1 ]; do
            grown=0
            for dir in /proc/[0-9]*; do
                pid=${dir#/proc/}
                case "$found 1 $$ $self $tree_keep " in
                *" $pid "*) continue ;;
                esac
                { read -r line <"$dir/stat"; } 2>/dev/null || continue
                # shellcheck disable=SC2086
                set -- ${line##*) }
                case $1 in
                Z | X) continue ;;
                esac
                hit=
                case $sids in
                *" $4 "*) hit=1 ;;
                esac
                case $found in
                *" $2 "*) hit=1 ;;
                esac
                [ -n "$group" ] && [ "$3" = "$group" ] && hit=1
                member=
                if [ -n "$tree_sid" ] && [ "${20}" -ge "$tree_since" ]; then
                    case " $4 $2 $pid " in
                    *" $tree_sid "*) member=1 ;;
                    esac
                fi
                if [ -z "$hit" ] && [ "${20}" -ge "$tree_born" ]; then
                    while read -r line || [ "$line" ]; do
                        case $line in
                        *"$tree_needle"*)
                            hit=1
                            break
                            ;;
                        *"$tree_others"*)
                            member=
                            break
                            ;;
                        esac
                    done 2>/dev/null <"$dir/environ"
                    [ "$member" ] && hit=1
                fi
                [ "$hit" ] || continue
                found="$found$pid "
                grown=1
                # The leader of a session: what it started is in that session, even when its parent is gone.
                [ "$4" = "$pid" ] && sids="$sids$pid "
            done
        done 2>/dev/null
        [ "$found" = ' ' ] && return 0
        for pid in $found; do
            kill -9 "$pid" 2>/dev/null
        done
    done
    return 1
}
