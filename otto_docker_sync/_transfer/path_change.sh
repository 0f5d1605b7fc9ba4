#!/bin/sh
# Changes what is at a path. One of the functions is called after this.
. ./path.sh

remove_file() {
    attempt rm "$operand"
}

remove_directory() {
    attempt rmdir "$operand"
}

# mask_mode MODE: sets $mode, without what the umask takes away.
mask_mode() {
    mode=$(printf %o $((0$1 & ~0$(umask))))
}

# make_directory MODE PARENTS EXIST_OK: the second is the directory above if that is to be made as well, or empty.
make_directory() {
    if [ -d "$operand" ] && [ "$3" ]; then
        exit 0
    fi
    target=$operand
    if [ "$2" ]; then
        as_operand "$2"
        explain_missing "$target"
        [ "$error" != 'Not a directory' ] || fail "$error"
        [ -d "$operand" ] || attempt mkdir -p "$operand"
    fi
    has mkdir || fail 'missing mkdir'
    mask_mode "$1"
    # With -m some would take away the bit that a directory above hands on.
    if [ "$1" = 777 ]; then
        error=$(mkdir "$target" 2>&1)
    else
        error=$(mkdir -m "$mode" "$target" 2>&1)
    fi && exit 0
    # Another process may have made it meanwhile.
    if [ -z "$3" ] || [ ! -d "$target" ]; then
        fail "$error"
    fi
}

# rename_to TARGET: over what is there, as the system call does.
rename_to() {
    source=$operand
    as_operand "$1"
    if [ "$source" = "$operand" ] && [ -e "$source" ]; then
        exit 0
    fi
    if [ -d "$operand" ]; then
        # Without -T it would be moved into that directory.
        has mv && mv -fT "$source" "$operand" 2>/dev/null && exit
        # BusyBox takes a link to a directory for the directory.
        if [ -e "$source" ] && [ -L "$operand" ]; then
            attempt rm "$operand"
        fi
        attempt mv -fT "$source" "$operand"
    else
        attempt mv -f "$source" "$operand"
    fi
}

# touch_file MODE EXIST_OK
touch_file() {
    if [ -e "$operand" ]; then
        [ "$2" ] || fail 'File exists'
        attempt touch -c "$operand"
        exit 0
    fi
    [ "$2" ] || set -C
    error=$({ : >"$operand"; } 2>&1) || {
        [ -d "${operand%/*}/" ] || explain_missing "$operand"
        fail "$error"
    }
    if [ "$1" != 666 ]; then
        mask_mode "$1"
        attempt chmod "$mode" "$operand"
    fi
}

# change_mode MODE: with five digits, or the bits of a directory for its group would be kept.
change_mode() {
    attempt chmod "$1" "$operand"
}
