#!/bin/sh
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
