#!/bin/sh
# Takes sources into a directory: as a tar stream on stdin, or as a fallback transport brings them.
#
# They arrive in a stage, a directory of their own beside the files that they replace, so that moving them into place
# is renaming. In the stage each source has a directory named by its number: "data" holds the source, and "size", which
# comes last, tells how many bytes its files have.
#
# destination  the directory
# stage_prefix how the name of the stage begins; the nonce follows
# tar_options  how tar unpacks
. ./common.sh
. ./files.sh
: "${destination?}" "${stage_prefix?}" "${tar_options?}"

# merge FROM TO look|move: moves what is in FROM into TO. Directories are merged into directories of the same name; all
# else replaces what is there. A link in TO is replaced, never followed. With "look" nothing is changed: it says what
# would be in the way, so that a source arrives as a whole or not at all.
merge() (
    from=$1
    to=$2
    action=$3
    set --
    for new in "$from"/* "$from"/.[!.]* "$from"/..?*; do
        # A pattern without a match stands for itself.
        [ -e "$new" ] || [ -L "$new" ] || continue
        old=$to/${new##*/}
        if [ ! -w "$to" ]; then
            printf 'no permission to write in %s' "$to"
            exit 1
        fi
        is_directory=
        [ -L "$new" ] || [ ! -d "$new" ] || is_directory=1
        if [ -d "$old" ] && [ ! -L "$old" ]; then
            if [ -z "$is_directory" ]; then
                printf '%s is a directory there' "$old"
                exit 1
            fi
            merge "$new" "$old" "$action" || exit 1
            continue
        fi
        if [ "$is_directory" ] && [ ! -L "$old" ] && [ -e "$old" ]; then
            printf '%s is no directory there' "$old"
            exit 1
        fi
        [ "$action" = move ] || continue
        # mv would move into a directory that a link leads to.
        if [ -L "$old" ] && { [ "$is_directory" ] || [ -d "$old" ]; }; then
            rm -f "$old"
        fi
        if [ "$is_directory" ] && [ ! -w "$new" ]; then
            # Renaming a directory writes its "..".
            chmod u+w "$new" && mv -f "$new" "$old" && chmod u-w "$old" || exit 1
        else
            # Together, since starting mv for each file is what takes the time.
            set -- "$@" "$new"
            if [ $# -ge 200 ]; then
                mv -f "$@" "$to/" || exit 1
                set --
            fi
        fi
    done
    [ $# = 0 ] || mv -f "$@" "$to/"
)

remove_stage() {
    rm -rf "$stage" 2>/dev/null || {
        # A directory that shuts out its owner.
        chmod -R u+rwx "$stage"
        rm -rf "$stage"
    } 2>/dev/null
}

stage=./$stage_prefix$nonce
as_operand "$destination"
cd -P -- "$operand" 2>/dev/null || {
    if [ -d "$operand" ]; then
        say nowhere 'no permission to enter the destination'
    elif [ -e "$operand" ]; then
        say nowhere 'the destination is not a directory'
    else
        say nowhere 'there is no such directory'
    fi
    exit
}

# What the tools here allow: "tar" unpacks a stream, "fallback" moves what somebody else brings into the stage, and with
# "bare" nothing can be done.
way=bare
has mkdir mv rm && way=courier && has tar && way=tar
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
        say nowhere "the destination cannot be written to: $error"
        exit
    }
    trap remove_stage EXIT
    umask 0
fi
say $way
[ $way != bare ] || exit

read -r way || exit
if [ "$way" = tar ]; then
    error=$(tar "-x${tar_options}f" - -C "$stage" 2>&1) || {
        say failed "$error"
        exit
    }
fi
for directory in "$stage"/*/; do
    directory=${directory%/}
    number=${directory##*/}
    { read -r size <"$directory/size"; } 2>/dev/null || {
        say failed 'the data ended early'
        exit
    }
    # Where there are find and stat, the bytes are counted before anything is moved.
    if sizes=$(find "$directory/data" -type f -exec stat -c %s '{}' + 2>/dev/null); then
        total=0
        for file_size in $sizes; do
            total=$((total + file_size))
        done
        if [ "$total" != "$size" ]; then
            say bad "$number" "$total bytes arrived in place of $size"
            continue
        fi
    fi
    if error=$({ merge "$directory/data" . look && merge "$directory/data" . move; } 2>&1); then
        say ok "$number"
    else
        say bad "$number" "$error"
    fi
done
say 'done'
