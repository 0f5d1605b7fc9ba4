#!/bin/sh
# What all scripts of a transfer begin with. What they have to say are lines that begin with the nonce; the bytes of
# files stand between these lines.
: "${nonce?}"

LC_ALL=C
export LC_ALL
unset CDPATH
umask 077
trap 'exit 1' HUP INT TERM PIPE

# say WORD TEXT...: a message. A newline in front of it, because what was printed before may not end in one.
say() {
    message_word=$1
    shift
    # The text of an error may have several lines, and a message has one. No wildcard may be expanded.
    set -f
    # shellcheck disable=SC2048,SC2086
    set -- $*
    set +f
    printf '\n%s %s %s\n' "$nonce" "$message_word" "$*"
}

say started
