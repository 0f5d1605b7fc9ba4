#!/bin/sh
# What the scripts have in common that look at files.

. ./operand.sh

# has TOOL...: whether all of these can be run.
has() {
    for tool; do
        command -v "$tool" >/dev/null 2>&1 || return 1
    done
}

# leave: ends when nothing more is sent. A connection that is closed while there is unread data in it can lose what it has
# to say.
leave() {
    cat >/dev/null 2>&1 || while read -r _; do
        :
    done
    exit
}

# explain_missing OPERAND: sets $error to why there is nothing. Shells do not say it, though a system call would.
explain_missing() {
    error='No such file or directory'
    ancestor=$1
    while [ "${ancestor%/*}" != "$ancestor" ]; do
        ancestor=${ancestor%/*}
        if [ -d "$ancestor/" ]; then
            [ -x "$ancestor/" ] || error='Permission denied'
            return
        elif [ -e "$ancestor" ]; then
            error='Not a directory'
            return
        fi
    done
}
