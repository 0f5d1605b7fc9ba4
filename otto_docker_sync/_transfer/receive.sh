#!/bin/sh
# Takes sources into a directory: as a tar stream on stdin, or as a fallback transport brings them.
#
# They arrive in a stage, a directory of their own beside the files that they replace, so that moving them into place
# is renaming. In the stage, "new" holds the sources under their names. "list" comes last and is shell text: it calls
# functions of this script, with the names of the sources as quoted words. For each tree, "lists/NUMBER" is such a text
# as well, with every name in it.
#
# destination  the directory
# stage_prefix how the name of the stage begins; the nonce follows
# tar_options  how tar unpacks
# owner        USER[:GROUP] for all that arrives; empty: the user of this shell
. ./common.sh
. ./files.sh
. ./merge.sh
: "${destination?}" "${stage_prefix?}" "${tar_options?}" "${owner?}"

remove_stage() {
    rm -rf "$stage" 2>/dev/null || {
        # A directory that shuts out its owner.
        chmod -R u+rwx "$stage"
        rm -rf "$stage"
    } 2>/dev/null
}

# The functions that "list" calls, in this order.

# graft FROM TO: puts a part of a deep tree where it belongs; both are paths in the stage.
graft() {
    graft_parent=$stage/${2%/*}
    closed=
    [ -w "$graft_parent" ] || closed=1
    [ -z "$closed" ] || chmod u+w "$graft_parent"
    move_directory "$stage/$1" "$graft_parent" "${2##*/}" || {
        say failed "$error"
        leave
    }
    [ -z "$closed" ] || chmod u-w "$graft_parent"
}

# arrived SIZE: how many bytes the files of all sources have. Where there are find and stat, they are counted before
# anything is moved.
arrived() {
    if sizes=$(find "$new" -type f -exec stat -c %s '{}' + 2>/dev/null); then
        total=0
        for size in $sizes; do
            total=$((total + size))
        done
        if [ "$total" != "$1" ]; then
            say failed "$total bytes arrived in place of $1"
            leave
        fi
    fi
    [ ! -g . ] || inherit_group . "$new"
    # With -h, or the targets of links would be given away.
    if [ "$owner" ] && ! error=$(chown -hR "$owner" "$new" 2>&1); then
        say bad_destination "$error"
        leave
    fi
}

# restore_mode MODE NAME: a change of owner or group has taken the set-user-id bit away.
restore_mode() {
    chmod "$1" "$new/$2"
}

# files NUMBERS NAME...: sources that are files, some hundred at most. They are moved together, since starting mv for
# each is what takes the time; those that stay behind are moved one by one, to learn why.
files() {
    numbers=$1
    shift
    move_files "$@" 2>/dev/null
    moved=
    for number in $numbers; do
        if [ ! -e "$new/$1" ] || move_checked "$1"; then
            moved="$moved $number"
        else
            say bad "$number" "$error"
        fi
        shift
    done
    # In one message, since each takes as long as a small file does on its way through docker.
    # shellcheck disable=SC2086
    [ -z "$moved" ] || say ok $moved
}

# move_files NAME...: none if the name of one is a directory's here.
move_files() {
    for name; do
        [ ! -d "./$name" ] || return
    done
    # From there, since writing a path in front of each name would copy all names each time.
    (cd "$new" && mv -f -- "$@" ../..)
}

move_checked() {
    if [ -d "./$1" ] && [ ! -L "./$1" ]; then
        error="$1 is a directory there"
        return 1
    fi
    move "$new/$1" .
}

# tree NUMBER NAME: a source that is a directory.
tree() {
    merge "$stage/lists/$1"
    if [ "$problem" ]; then
        say bad "$1" "$problem"
    else
        say ok "$1"
    fi
}

stage=./$stage_prefix$nonce
new=$stage/new
old=$stage/old
as_operand "$destination"
cd -P -- "$operand" 2>/dev/null || {
    if [ -d "$operand" ]; then
        say bad_destination 'no permission to enter the destination'
    elif [ -e "$operand" ]; then
        say bad_destination 'the destination is not a directory'
    else
        say bad_destination 'there is no such directory'
    fi
    leave
}

# What the tools here allow: "tar" unpacks a stream, "fallback" moves what somebody else brings into the stage, and with
# "bare" nothing can be done.
way=bare
has mkdir mv rm && way=fallback && has tar && way=tar
if [ $way != tar ]; then
    while read -r field _ id _; do
        case $field in
        Uid:) uid=$id ;;
        Gid:) gid=$id ;;
        esac
    done </proc/self/status
    say owner "$uid" "$gid"
    pwd -P
fi
if [ $way != bare ]; then
    error=$(mkdir "$stage" 2>&1) || {
        say bad_destination "the destination cannot be written to: $error"
        leave
    }
    trap remove_stage EXIT
    umask 0
fi
say $way
[ $way != bare ] || leave

# A client with little to send has sent it already. If it is not what can be used here, the client starts again.
read -r request || exit
[ "$request" = $way ] || leave
if [ $way = tar ]; then
    error=$(tar "-x${tar_options}f" - -C "$stage" 2>&1) || {
        say failed "$error"
        leave
    }
fi
[ -f "$stage/list" ] || {
    say failed 'the data ended early'
    leave
}
# Everything is here. From now on nothing ends in the middle.
trap '' HUP INT TERM PIPE
# shellcheck source=/dev/null
. "$stage/list"
say finished
