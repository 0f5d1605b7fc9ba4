#!/bin/sh
# Sends sources, as many as "send NUMBER PATH..." is called with. A tree goes as a tar stream. Small files go together
# in one, since starting programs for each is what takes the time. Every other file goes as it is.
. ./common.sh
. ./files.sh
. ./keepalive.sh

# Files up to this many bytes go together. If one of them changes meanwhile, all of them are sent a second time.
small=131072

# send NUMBER PATH...: some hundred pairs at most.
#
# From here on a file goes by its number; the variable file_NUMBER holds its operand. Adding to a function's arguments
# would copy all of them for each one.
send() {
    numbers=
    while [ $# -gt 0 ]; do
        number=$1
        as_operand "$2"
        shift 2
        if [ -d "$operand" ]; then
            send_tree
        elif [ -f "$operand" ]; then
            eval "file_$number=\$operand"
            numbers="$numbers $number"
        elif [ -e "$operand" ]; then
            say bad "$number" 'this is neither a file nor a directory'
        elif [ -L "$operand" ]; then
            say bad "$number" 'this is a link to nothing'
        else
            say bad "$number" 'there is no such file or directory'
        fi
    done
    # shellcheck disable=SC2086 # into its numbers
    [ -z "$numbers" ] || send_files $numbers
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

# name_files NUMBER...: sets $files to the shell text of their operands, for eval.
name_files() {
    files=
    for number; do
        files="$files \"\$file_$number\""
    done
}

# send_files NUMBER...
send_files() {
    if ! has cat; then
        for number; do
            eval "operand=\$file_$number"
            folder=$(cd -P -- "${operand%/*}/" && pwd -P)
            say_unsendable "$number" "${folder%/}/${operand##*/}"
        done
    elif [ $# -gt 1 ] && has tar; then
        name_files "$@"
        abouts=$(eval "look_at $files") || abouts=
        split_by_size "$@"
    else
        send_each "$@"
    fi
}

# split_by_size NUMBER...: sends those alone that have to, then the others together.
split_by_size() {
    numbers=
    for number; do
        about=${abouts%%"$newline"*}
        abouts=${abouts#*"$newline"}
        # shellcheck disable=SC2086 # into its words
        if is_small $about; then
            numbers="$numbers $number"
        else
            send_file "$number" $about
        fi
    done
    # shellcheck disable=SC2086
    [ -z "$numbers" ] || send_together $numbers
}

# is_small ABOUT...: for one with a second name, tar could send just a reference; and one without blocks is a file that
# the kernel makes up, whose size nobody knows before it is read.
is_small() {
    [ $# = 5 ] && [ "$2" -le $small ] && [ "$4" != 0 ] && [ "$5" = 1 ]
}

# send_together NUMBER...
send_together() {
    say files "$@"
    name_files "$@"
    eval "send_tar -chf - $files"
    say end_files "$status"
    # A file that has changed meanwhile, most likely.
    [ "$status" = 0 ] || send_each "$@"
}

send_each() {
    for number; do
        eval "operand=\$file_$number"
        # shellcheck disable=SC2046 # into its words
        send_file "$number" $(look_at "$operand")
    done
}

# send_file NUMBER ABOUT...
send_file() {
    number=$1
    eval "operand=\$file_$number"
    shift
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
