#!/bin/sh
# kill_tree NEEDLE SID SINCE KEEP OLDEST [ROOTS]
#
# Kills until a look at /proc finds nothing more: every process that
# - has NEEDLE in its environment, or
# - belongs to the session SID and started at SINCE (clock ticks since the machine's start) or later, or
# - is in the foreground of the terminal of the shell KEEP, or
# - is one of ROOTS, which are words as those of `left`, or
# - descends from one of these.
# KEEP itself, process 1 and the caller ($self, and $$) are spared. Returns 1 if something may be left. It sets:
#
# left    PID:START:UID:GID of each process that the last look found: it may not be signalled, or it does not die
# unseen  the same of each process that may belong to them: it started meanwhile, its parent is gone, and its
#         environment cannot be read, because it runs as another user
#
# Environments are read only of processes no older than the process OLDEST: on a busy machine, reading them is what
# takes the time.
. ./walk_tree.sh

kill_tree() {
    left=
    unseen=
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
    tree_roots=$6
    tree_born=0
    if [ -n "$5" ] && { read -r line <"/proc/$5/stat"; } 2>/dev/null; then
        # shellcheck disable=SC2086 # into its fields, see walk_tree
        set -- ${line##*) }
        tree_born=${20}
    fi
    tree_cgroup=
    { read -r tree_cgroup </proc/self/cgroup; } 2>/dev/null
    tree_refused=
    # Kept from round to round: sudo gives what it starts another environment, and may have been killed just then.
    sids=' '
    tree_round=0
    tree_end=0
    # A process that is just being started can be missed, so there is another round until one finds nothing new.
    while [ "$tree_round" -lt 12 ] || tree_in_time; do
        tree_round=$((tree_round + 1))
        left=
        unseen=
        group=
        if [ -n "$tree_keep" ] && { read -r line <"/proc/$tree_keep/stat"; } 2>/dev/null; then
            # shellcheck disable=SC2086
            set -- ${line##*) }
            [ "$6" = "$3" ] || [ "$6" -le 1 ] || group=$6
        fi
        # shellcheck disable=SC2154 # the caller sets it
        walk_tree tree_visit " 1 $$ $self $tree_keep "
        tried=
        for process in $left; do
            case " $tree_refused " in
            *" $process "*) continue ;;
            esac
            tried=1
            kill -9 "${process%%:*}" 2>/dev/null || tree_refused="$tree_refused $process"
        done
        [ "$tried" ] || break
    done
    # shellcheck disable=SC2086 # into its words
    tree_add_owners $left
    left=$tree_owned
    # shellcheck disable=SC2086
    tree_add_owners $unseen
    unseen=$tree_owned
    [ -z "$left" ]
}

# The visitor of the walk: notes a process that is to be killed.
tree_visit() {
    hit=
    case $sids in
    *" $4 "*) hit=1 ;;
    esac
    case $found in
    *" $2 "*) hit=1 ;;
    esac
    case " $tree_roots $tree_refused" in
    *" $pid:${20}:"*) hit=1 ;;
    esac
    [ -n "$group" ] && [ "$3" = "$group" ] && hit=1
    member=
    if [ -n "$tree_sid" ] && [ "${20}" -ge "$tree_since" ]; then
        case " $4 $2 $pid " in
        *" $tree_sid "*) member=1 ;;
        esac
    fi
    if [ -z "$hit$again" ] && [ "${20}" -ge "$tree_born" ]; then
        read_environ "$tree_needle" "$tree_others"
        [ "$member" ] && hit=1
        [ "$readable$hit" ] || tree_note_unseen "$2" "${20}"
    fi
    [ "$hit" ] || return
    left="$left $pid:${20}:"
    # The leader of a session: what it started is in that session, even when its parent is gone. The same where the
    # leader has ended already.
    { [ "$4" = "$pid" ] || tree_has_ended "$4"; } && sids="$sids$4 "
    return 0
}

# Sets `tree_owned` to the words PID:START: that it is given, each with UID:GID at its end.
tree_add_owners() {
    tree_owned=
    for process; do
        tree_uid=
        tree_gid=
        while read -r key tree_real line; do
            case $key in
            Uid:) tree_uid=$tree_real ;;
            Gid:) tree_gid=$tree_real ;;
            esac
        done 2>/dev/null <"/proc/${process%%:*}/status"
        [ -z "$tree_gid" ] || tree_owned="$tree_owned $process$tree_uid:$tree_gid"
    done
}

# Adds the process $pid with the parent $1 and the start $2 to `unseen`, if it may belong to what is killed.
tree_note_unseen() {
    [ "$1" = 1 ] && [ "$2" -ge "$tree_since" ] || return 0
    case "$unseen " in
    *" $pid:$2: "*) return 0 ;;
    esac
    # What holds a container was started by a daemon, whoever asked for the container.
    read -r line <"/proc/$pid/comm" && [ "$line" != containerd-shim ] || return 0
    # On a machine with systemd, each service and each login has a control group of its own.
    read -r line <"/proc/$pid/cgroup" && [ "$line" = "$tree_cgroup" ] && unseen="$unseen $pid:$2:"
}

# Whether the process $1, which leads a session, has ended. In a container, a leader outside of it is 0.
tree_has_ended() {
    [ "$1" -gt 1 ] || return 1
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    case ${line##*) } in
    Z* | X*) return 0 ;;
    esac
    return 1
}

# Whether there is time for one more round: a big process takes a while to die, and must not count as left.
tree_in_time() {
    { read -r line </proc/uptime; } 2>/dev/null || return 1
    line=${line%% *}
    line=${line%.*}${line#*.}
    [ "$tree_end" = 0 ] && tree_end=$((line + 100))
    [ "$line" -lt "$tree_end" ]
}
