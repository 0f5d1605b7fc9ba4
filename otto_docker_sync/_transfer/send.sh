#!/bin/sh
# Sends sources, as many as "send NUMBER PATH..." is called with. A tree goes as a tar stream. Small files go together
# in one, since starting programs for each is what takes the time. Every other file goes as it is.
. ./common.sh
. ./files.sh
. ./keepalive.sh

# Files up to this many bytes go together. If one of them changes meanwhile, all of them are sent a second time.
small=131072

# send NUMBER PATH...: some hundred pairs at most.
send() {
    count=$#
    while [ "$count" -gt 0 ]; do
        number=$1
        as_operand "$2"
        if [ -d "$operand" ]; then
            send_tree
        elif [ -f "$operand" ]; then
            # Rotates the arguments: the pairs go out in front, and the files come in at the end.
            set -- "$@" "$number" "$operand"
        elif [ -e "$operand" ]; then
            say bad "$number" 'this is neither a file nor a directory'
        elif [ -L "$operand" ]; then
            say bad "$number" 'this is a link to nothing'
        else
            say bad "$number" 'there is no such file or directory'
        fi
        shift 2
        count=$((count - 2))
    done
    [ $# = 0 ] || send_files "$@"
}

# say_unsendable NUMBER PATH: the tool is missing here; the path, without links, is for a fallback transport.
say_unsendable() {
    say unsendable "$1"
    printf %s "$2"
}

send_tree() {
    real_path=$(cd -P -- "$operand" && pwd -P)
    case $real_path/ in
    /proc/* | /sys/*)
        say bad "$number" 'the kernel makes this tree up: get its files one by one'
        return
        ;;
    esac
    if ! has tar; then
        say_unsendable "$number" "$real_path"
        return
    fi
    say tree "$number"
    send_tar -cf - -C "$operand" .
    say end "$number" "$status" "$error"
}

# send_tar ARGUMENT...: runs tar, whose stream goes to 4. Sets $status, and $error to what it says.
send_tar() {
    said=$(
        # The subshells of a command substitution inherit "trap ''", under which the watcher could not end them.
        trap : TERM
        {
            {
                tar "$@" 2>&3
                printf '\n%s' $? >&3
            } | join_blocks >&4
        } 3>&1
    )
    status=${said##*"$newline"}
    error=${said%"$newline"*}
}

# join_blocks: BusyBox's tar writes 512 bytes at a time, and each piece takes its time on the way through docker.
join_blocks() {
    if has dd; then
        dd ibs=65536 obs=65536 2>/dev/null
    else
        cat
    fi
}

# look_at OPERAND...: a line for each: mode, size, modification time, blocks, names. The second form is that of the BSDs
# and macOS.
look_at() {
    stat -Lc '%a %s %Y %b %h' "$@" || stat -Lf '%Lp %z %m %b %l' "$@"
} 2>/dev/null

# send_files NUMBER OPERAND...
send_files() {
    if ! has cat; then
        while [ $# -gt 0 ]; do
            folder=$(cd -P -- "${2%/*}/" && pwd -P)
            say_unsendable "$1" "${folder%/}/${2##*/}"
            shift 2
        done
        return
    fi
    if [ $# -gt 2 ] && has tar; then
        abouts=$(with_operands look_at "$@") || abouts=
        split_by_size "$@"
    else
        send_each "$@"
    fi
}

# with_operands FUNCTION [NUMBER OPERAND]...: calls FUNCTION with the operands alone.
with_operands() {
    callee=$1
    shift
    second=
    for argument; do
        shift
        if [ "$second" ]; then
            set -- "$@" "$argument"
            second=
        else
            second=1
        fi
    done
    "$callee" "$@"
}

# split_by_size NUMBER OPERAND...: sends those alone that have to, then the others together.
split_by_size() {
    numbers=
    count=$#
    while [ "$count" -gt 0 ]; do
        about=${abouts%%"$newline"*}
        abouts=${abouts#*"$newline"}
        if is_small "$about"; then
            numbers="$numbers $1"
            set -- "$@" "$1" "$2"
        else
            send_file "$1" "$2" "$about"
        fi
        shift 2
        count=$((count - 2))
    done
    [ $# = 0 ] || send_together "$@"
}

# is_small ABOUT: for one with a second name, tar could send just a reference; and one without blocks is a file that the
# kernel makes up, whose size nobody knows before it is read.
is_small() {
    # shellcheck disable=SC2086
    set -- $1
    [ $# = 5 ] && [ "$2" -le $small ] && [ "$4" != 0 ] && [ "$5" = 1 ]
}

send_together() {
    # shellcheck disable=SC2086
    say files $numbers
    with_operands send_tar_of "$@"
    say end_files "$status"
    # A file that has changed meanwhile, most likely.
    [ "$status" = 0 ] || send_each "$@"
}

send_tar_of() {
    send_tar -chf - "$@"
}

send_each() {
    while [ $# -gt 0 ]; do
        send_file "$1" "$2" "$(look_at "$2")"
        shift 2
    done
}

# send_file NUMBER OPERAND ABOUT
send_file() {
    number=$1
    operand=$2
    # shellcheck disable=SC2086
    set -- $3
    if [ $# != 5 ] || [ "$4" = 0 ]; then
        say file "$number" "${1:--}" - "${3:--}"
        error=$(
            trap : TERM
            cat "$operand" 2>&1 >&4
        )
    else
        # A file that grows, such as a log, is sent as it was when this began.
        say file "$number" "$1" "$2" "$3"
        error=$(
            trap : TERM
            copy_start "$2" 2>&1 >&4
        )
    fi
    say end "$number" $? "$error"
}

# copy_start SIZE: of $operand, at least that many bytes and not many more.
copy_start() {
    if has dd; then
        dd if="$operand" bs=65536 count=$((($1 + 65535) / 65536))
    else
        cat "$operand"
    fi
}

newline='
'
