#!/bin/sh
# Prints the content of a file.
. ./path.sh

if ! has cat; then
    [ ! -d "$operand" ] || fail 'Is a directory'
    [ -e "$operand" ] || {
        explain_missing "$operand"
        fail "$error"
    }
    fail 'missing cat'
fi
exec 3>&1
error=$(cat "$operand" 2>&1 >&3) || fail "$error"
