#!/bin/sh
# Prints the names in a directory, each closed by a NUL, with nothing but the shell.
#
# otto_kind  what is wanted, as an operator of test; -e is everything, links to nothing too
: "${otto_directory?}" "${otto_kind?}"

cd -- "$otto_directory" || exit
for otto_name in * .*; do
    case $otto_name in
    . | ..) continue ;;
    esac
    if command test "$otto_kind" "$otto_name"; then
        printf '%s\0' "$otto_name"
    elif [ "$otto_kind" = -e ] && [ -L "$otto_name" ]; then
        printf '%s\0' "$otto_name"
    fi
done
