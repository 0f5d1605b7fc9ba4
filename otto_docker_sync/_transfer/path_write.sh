#!/bin/sh
# Gives a file a new content, as a whole or not at all.
#
# The content arrives in a stage, which is renamed over the file. Where that is not possible, or would change more than the
# content, it is copied from the stage into the file, and what was there is put back if that fails.
#
# path          the file; a link is followed
# size          of the content, in bytes
# way           raw: it comes as it is. lines: it comes as text for printf, up to a line with a dot, for shells with no cat
# stage_prefix  how the name of the stage begins; the nonce follows
user_umask=$(umask)
. ./common.sh
. ./files.sh
: "${path?}" "${size?}" "${way?}" "${stage_prefix?}"

refuse() {
    say refused "$1"
    leave
}

# find_target: sets $target to the path without links at its end, $above to the directory it is in. $above is empty where
# nothing can be renamed over it.
find_target() {
    as_operand "$path"
    target=$operand
    if [ -L "$target" ]; then
        # A line end may be a part of the name.
        found=$(has readlink && readlink -f "$target" 2>/dev/null && printf x) || found=
        found=${found%x}
        found=${found%"$newline"}
        if [ -z "$found" ]; then
            above=
            return
        fi
        target=$found
    fi
    above=${target%/*}/
}

# check_target: refuses what cannot be written, without changing it.
check_target() {
    if [ -d "$target" ]; then
        refuse 'Is a directory'
    elif [ -f "$target" ]; then
        error=$({ : >>"$target"; } 2>&1) || refuse "$error"
    fi
}

# can_replace: whether renaming the stage over the target changes its content and nothing else. Sets $mode, which the
# stage gets when it is complete: it may be one that forbids writing.
can_replace() {
    mode=
    [ -e "$target" ] || return 0
    [ -f "$target" ] || return
    # shellcheck disable=SC2046
    set -- $(stat -c '%a %u:%g %h' "$target" 2>/dev/null)
    [ $# = 3 ] && [ "$3" = 1 ] || return
    mode=$1
    [ "$(stat -c %u:%g "$stage")" = "$2" ] || chown "$2" "$stage" 2>/dev/null
}

# make_stage FILE
make_stage() {
    stage=$1
    error=$({ : >"$stage"; } 2>&1)
}

make_stage_beside() {
    [ "$above" ] || return
    [ -e "$target" ] || umask "$user_umask"
    if make_stage "$above$stage_prefix$nonce"; then
        trap 'rm -f "$stage"' EXIT
        can_replace
        return
    fi
    [ -e "$target" ] && return 1
    # It cannot be written at all.
    [ -d "$above" ] || explain_missing "$target"
    refuse "$error"
}

make_stage_elsewhere() {
    umask 077
    make_stage "${TMPDIR:-/tmp}/$stage_prefix$nonce" || return
    trap 'rm -f "$stage" "$stage.old"' EXIT
}

take_lines() {
    say ready
    content=
    while IFS= read -r line; do
        if [ "$line" = . ]; then
            trap '' HUP INT TERM PIPE
            # shellcheck disable=SC2059
            error=$({ printf "$content" >"$target"; } 2>&1) && say written && leave
            [ -d "${target%/*}/" ] || explain_missing "$target"
            refuse "$error"
        fi
        content=$content$line
    done
}

# overwrite: copies the stage into the target.
overwrite() {
    kept=
    if [ -f "$target" ] && cat "$target" >"$stage.old" 2>/dev/null; then
        kept=1
    fi
    error=$(cat "$stage" 2>&1 >"$target") && return
    [ -z "$kept" ] || cat "$stage.old" >"$target"
    return 1
}

newline='
'
find_target
check_target
[ "$way" = raw ] || {
    umask "$user_umask"
    take_lines
    exit
}
has cat mv rm stat wc || {
    say lines
    leave
}
beside=1
make_stage_beside || {
    beside=
    [ -z "$stage" ] || rm -f "$stage"
    make_stage_elsewhere || {
        say lines
        leave
    }
}
say ready
error=$(cat 2>&1 >"$stage") || refuse "$error"
[ $(($(wc -c <"$stage"))) = "$size" ] || refuse 'the data ended early'
# Everything is here. From now on nothing ends in the middle.
trap '' HUP INT TERM PIPE
[ -z "$mode" ] || chmod "$mode" "$stage" 2>/dev/null || beside=
if [ "$beside" ] && mv -f "$stage" "$target" 2>/dev/null; then
    say written
elif overwrite; then
    say written
else
    refuse "$error"
fi
