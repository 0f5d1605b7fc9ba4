#!/bin/sh
# What is typed first into a new session's shell. Each setting has a line of its own, so that one can fail alone.

stty -echo 2>/dev/null
# Line editors echo, complete and cut what is typed. Not every shell has these two.
# shellcheck disable=SC3040
set +o emacs +o vi 2>/dev/null
# shellcheck disable=SC3040
set +o zle 2>/dev/null
# Without it, busybox takes the end of a background job for the end of its input, and leaves.
set -o ignoreeof 2>/dev/null
PS2=
# The prompt and the frame use these two.
# shellcheck disable=SC2034
__otto_n=0
__otto_s() { return "$1"; }
