#!/bin/sh
# What the scripts begin with that do one thing to one path. Each runs as a command of its own: it prints its answer, or
# fails.
#
# nonce  tells an answer from an error
# path   the path
. ./files.sh
: "${nonce?}" "${path?}"

LC_ALL=C
export LC_ALL
unset CDPATH

# fail TEXT: ends with an error. It goes to the stream of the answer: stdout and stderr may be one.
fail() {
    printf '%s%s' "$nonce" "$1"
    exit 9
}

# attempt PROGRAM ARGUMENT...: runs it, and fails with what it says.
attempt() {
    has "$1" || fail "missing $1"
    error=$("$@" 2>&1) || fail "$error"
}

as_operand "$path"
