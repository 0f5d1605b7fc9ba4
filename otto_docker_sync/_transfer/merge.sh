#!/bin/sh
# merge LIST: moves a tree from $new into the current directory, where directories of the same name may exist: these
# are kept, and all else replaces what is there. Sets $problem if that is not possible, and has then changed nothing.
#
# LIST is shell text that calls, with names as quoted words, a directory before what is in it:
#
#   directory PATH          a directory of the tree
#   entries PATH NAME...    files and links in that directory, some hundred at most
#
# It is run up to three times. "look" finds what would be in the way. "place" first saves what is there in $old, by a
# second name where that is possible, so that a file is replaced at once and is never missing; then it moves the new
# ones over it. If that fails somewhere, "undo" puts back what was saved and removes what was not there.
#
# As the names come in a list, there is no recursion, and a tree may be as deep as a path can be long.
merge() {
    problem=
    failed_at=
    undone=
    run_pass look "$1"
    [ -z "$problem" ] || return
    run_pass place "$1"
    [ -z "$problem" ] || run_pass undo "$1"
}

run_pass() {
    pass=$1
    whole=
    # shellcheck source=/dev/null
    . "$2"
}

directory() {
    is_part_of_whole "$1" || "${pass}_directory" "$1"
}

entries() {
    is_part_of_whole "$1" || "${pass}_entries" "$@"
}

# A directory that is not there yet is moved as a whole; $whole is its path, with a slash.
is_part_of_whole() {
    [ "$whole" ] || return
    case $1/ in
    "$whole"*) ;;
    *) false ;;
    esac
}

is_real_directory() {
    [ -d "$1" ] && [ ! -L "$1" ]
}

# split PATH: sets $parent and $name.
split() {
    name=${1##*/}
    parent=${1%"$name"}
    parent=./${parent%/}
}

look_directory() {
    is_real_directory "./$1" && return
    split "$1"
    whole=$1/
    if [ -e "./$1" ] && [ ! -L "./$1" ]; then
        problem="$1 is not a directory there"
    elif [ ! -w "$parent" ]; then
        problem="no permission to write in $parent"
    fi
}

look_entries() {
    path=$1
    shift
    [ -w "./$path" ] || problem="no permission to write in $path"
    for name; do
        if is_real_directory "./$path/$name"; then
            problem="$path/$name is a directory there"
        fi
    done
}

place_directory() {
    [ -z "$problem" ] || return
    is_real_directory "./$1" && return
    whole=$1/
    place=$1
    split "$1"
    if [ -L "./$1" ]; then
        # No directory can be renamed over a link.
        error=$(mkdir -p "$old/$parent" 2>&1) || fail saving || return
        move "./$1" "$old/$parent" || fail saving || return
    fi
    # Of what is beside the stage, "arrived" has taken care.
    [ "$parent" = ./ ] || inherit_group "$parent" "$new/$1"
    move_directory "$new/$1" "$parent" "$name" || fail moving
}

place_entries() {
    [ -z "$problem" ] || return
    path=$1
    shift
    place=$path/$1
    save_entries "$@" || fail saving || return
    # The new directory itself stays behind, so its mode does not matter.
    [ -w "$new/$path" ] || chmod u+w "$new/$path"
    move_entries "$@" || fail moving
}

# fail saving|moving: notes what ended it, and at which place of the list.
fail() {
    problem=$error
    failed_at=$place
    failed_in=$1
    false
}

undo_directory() {
    [ -z "$undone" ] || return
    if [ "$1" != "$failed_at" ]; then
        # One that is still in the stage was merged.
        [ ! -d "$new/$1" ] || return
    fi
    whole=$1/
    split "$1"
    undo_entry "$1" "$parent" "$name"
    [ "$1" != "$failed_at" ] || undone=1
}

undo_entries() {
    [ -z "$undone" ] || return
    path=$1
    shift
    place=$path/$1
    for name; do
        undo_entry "$place" "./$path" "$name"
    done
    [ "$place" != "$failed_at" ] || undone=1
}

# undo_entry PLACE DIRECTORY NAME
undo_entry() {
    target=$2/$3
    if [ -e "$old/$target" ] || [ -L "$old/$target" ]; then
        ! is_real_directory "$target" || rm -rf "$target"
        move "$old/$target" "$2" || problem="$problem; $target could not be put back: $error"
    elif [ "$1" != "$failed_at" ] || [ "$failed_in" = moving ]; then
        # It was not there: all that is there is saved before anything is moved over it.
        rm -rf "$target"
    fi
}

# save_entries NAME...: those of $path that are there get a second name in $old.
save_entries() {
    for name; do
        shift
        if [ -e "./$path/$name" ] || [ -L "./$path/$name" ]; then
            set -- "$@" "./$path/$name"
        fi
    done
    [ $# -gt 0 ] || return 0
    error=$(mkdir -p "$old/./$path" 2>&1) || return
    ln "$@" "$old/./$path/" 2>/dev/null && return
    # No hard links here, or not of all of them: another user's file, another file system, a mount.
    for target; do
        ln -f "$target" "$old/./$path/" 2>/dev/null || move "$target" "$old/./$path" copy || return
    done
}

# move_entries NAME...
move_entries() {
    inherit_group "./$path"
    for name; do
        shift
        set -- "$@" "$new/$path/$name"
    done
    [ -z "$group" ] || chgrp -h "$group" "$@" 2>/dev/null
    mv -f "$@" "./$path/" 2>/dev/null && return
    for staged; do
        [ ! -e "$staged" ] && [ ! -L "$staged" ] || move "$staged" "./$path" || return
    done
}

# move FROM DIRECTORY [copy]: moves a file or a link into a directory, over what has its name there. What is mounted
# over a file cannot be renamed or replaced, though it can be read and written. If FROM is that, "copy" copies it; if it
# is what has the name there, its content is replaced, and put back should that fail. Sets $error.
move() {
    error=$(mv -f "$1" "$2/" 2>&1) && return
    over=$2/${1##*/}
    case $error in
    *[Rr]esource\ busy*) ;;
    *) return 1 ;;
    esac
    [ -f "$1" ] || return
    if [ "$3" ]; then
        error=$(cat "$1" 2>&1 >"$over")
        return
    fi
    [ -f "$over" ] || return
    error=$(cat "$over" 2>&1 >"$stage/content") || return
    if error=$(cat "$1" 2>&1 >"$over"); then
        rm -f "$1"
    else
        cat "$stage/content" >"$over"
        return 1
    fi
}

# move_directory FROM DIRECTORY NAME: sets $error.
move_directory() {
    # Renaming a directory writes its "..", so it must not be read-only for that moment.
    read_only=
    [ -w "$1" ] || read_only=1
    [ -z "$read_only" ] || chmod u+w "$1"
    # By its full new name, which is not there: mv has no other way to rename something while it moves it.
    error=$(mv -f "$1" "$2/$3" 2>&1) || return
    [ -z "$read_only" ] || chmod u-w "$2/$3"
}

# inherit_group DIRECTORY [NEW]: a directory with the set-group-id bit gives its group to what is made in it, and a
# directory the bit as well. What is moved into it would keep its own. Sets $group, empty where there is nothing to do.
inherit_group() {
    group=
    [ -g "$1" ] || return 0
    # shellcheck disable=SC2012 # there is no other portable way
    group=$(ls -nd "$1" | {
        read -r _ _ _ id _
        printf %s "$id"
    })
    if [ "$2" ]; then
        chgrp -hR "$group" "$2" 2>/dev/null
        find "$2" -type d -exec chmod g+s '{}' + 2>/dev/null
    fi
    return 0
}
