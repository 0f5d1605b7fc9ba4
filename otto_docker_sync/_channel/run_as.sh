#!/bin/sh
# Runs a program in the directory $1 ("" is the present one): the words that follow.
#
# otto_begin_first, otto_begin_second  the marker to print when the password was accepted; "" where none is sent
# otto_behind_sudo                     1 when sudo has started this
: "${otto_begin_first?}" "${otto_begin_second?}" "${otto_behind_sudo?}"

if [ -n "$1" ]; then
    cd -- "$1" || {
        echo "otto: no such directory"
        exit 1
    }
    unset OLDPWD
fi
shift
[ -z "$otto_begin_first" ] || command printf '<%s%s>\n' "$otto_begin_first" "$otto_begin_second"
if [ -n "$otto_behind_sudo" ]; then
    # Not by exec: sudo stops itself when its child is stopped, and the wrapper of a oneshot is (oneshot.sh).
    "$@"
    exit $?
fi
exec "$@"
