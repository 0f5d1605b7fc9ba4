#!/bin/sh
# What is typed first into a new session's shell. Each setting has a line of its own, so that one can fail alone.
#
# The prompt and the frames use what is defined here. The user may define functions with the names of commands, so what
# a frame runs is found past those: by `builtin` where the shell has that, which finds a special built-in too; by
# `command` elsewhere, where no function can have the name of a special built-in.

stty -echo 2>/dev/null
# Line editors echo, complete and cut what is typed. Not every shell has these two.
# shellcheck disable=SC3040
set +o emacs +o vi 2>/dev/null
# shellcheck disable=SC3040
set +o zle 2>/dev/null
# Without it, busybox takes the end of a background job for the end of its input, and leaves.
set -o ignoreeof 2>/dev/null
PS2=
# shellcheck disable=SC2034
__otto_n=0
__otto_b='command'
# shellcheck disable=SC2034
__otto_e=
# shellcheck disable=SC2034
__otto_h=
# In mksh, printf is no built-in; in ksh93, `builtin` is another command.
# shellcheck disable=SC2034,SC3044
case $(builtin printf x 2>/dev/null) in x) __otto_b=builtin ;; esac
# shellcheck disable=SC2034
builtin eval __otto_e=builtin 2>/dev/null
# In zsh, the prompt needs it.
# shellcheck disable=SC3040
set -o promptsubst 2>/dev/null
# shellcheck disable=SC2034,SC3044
builtin shopt >/dev/null 2>&1 && __otto_h=bash
(eval ': "${.sh.version}"') 2>/dev/null && __otto_h=ksh93
# A line end.
__otto_l=$($__otto_b printf '\012.')
__otto_l=${__otto_l%.}
# What follows a command in its eval: an ERR trap would run again for the eval if that returned the status.
__otto_t=
# shellcheck disable=SC2034,SC3047
(trap : ERR) 2>/dev/null && __otto_t="$__otto_l{ __otto_r=\$?; } >/dev/null 2>&1"
__otto_s() { return "$1"; }
# printf to descriptor 3: a trap of the user prints to stdout. A function called `command` shows by leaving __otto_p
# empty; where there is `builtin`, it does not matter.
__otto_f() {
    __otto_p=
    $__otto_b eval __otto_p=1 >/dev/null || __otto_p=
    case $__otto_p in
    1) $__otto_b printf "$@" >&3 ;;
    *) (\unset -f command printf; \command printf "$@" >&3) ;;
    esac
}
# The same to the terminal, even if stdout is redirected.
__otto_w() { __otto_f "$@" 3>/dev/tty || __otto_f "$@" 3>&0; }
