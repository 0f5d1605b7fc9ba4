#!/bin/sh
# Sends sources, one "send NUMBER PATH" each. A tree goes as a tar stream; a file as it is, since the size of a file
# that the kernel makes up is not known before it is read.
. ./common.sh
. ./files.sh
. ./keepalive.sh

# say_unsendable NUMBER PATH: the tool is missing here; the path, without links, is for a fallback transport.
say_unsendable() {
    say away "$1"
    printf %s "$2"
}

send() {
    number=$1
    as_operand "$2"
    if [ -d "$operand" ]; then
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
        # The subshells of a command substitution inherit "trap ''", under which the watcher could not end them.
        error=$({
            trap : TERM
            cd -P -- "$operand" && tar -cf - . >&4
        } 2>&1)
    elif [ -f "$operand" ]; then
        if ! has cat; then
            folder=$(cd -P -- "${operand%/*}/" && pwd -P)
            say_unsendable "$number" "${folder%/}/${operand##*/}"
            return
        fi
        case $(readlink -f "$operand") in
        /proc/* | /sys/*) about='- - -' ;;
        # The second form is that of the BSDs and macOS.
        *) about=$(stat -Lc '%a %s %Y' "$operand" || stat -Lf '%Lp %z %m' "$operand" || echo - - -) ;;
        esac 2>/dev/null
        say file "$number" "$about"
        error=$(
            trap : TERM
            cat "$operand" 2>&1 >&4
        )
    else
        if [ -e "$operand" ]; then
            say bad "$number" 'this is neither a file nor a directory'
        elif [ -L "$operand" ]; then
            say bad "$number" 'this is a link to nothing'
        else
            say bad "$number" 'there is no such file or directory'
        fi
        return
    fi
    say end "$number" $? "$error"
}
