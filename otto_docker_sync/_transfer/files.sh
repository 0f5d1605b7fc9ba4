#!/bin/sh
# What receive.sh and send.sh have in common.

# as_operand PATH: sets $operand to that path, written so that no program takes it for an option.
# shellcheck disable=SC2088 # a tilde in the path that was given is meant
as_operand() {
    case $1 in
    '~') operand=$HOME ;;
    '~/'*) operand=$HOME/${1#??} ;;
    /*) operand=$1 ;;
    *) operand=./$1 ;;
    esac
}

# has TOOL...: whether all of these can be run.
has() {
    for tool; do
        command -v "$tool" >/dev/null 2>&1 || return 1
    done
}
