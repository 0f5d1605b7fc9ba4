#!/bin/sh
# Whether a test of the shell holds for a path; the answer is the exit status.
. ./operand.sh
: "${path?}" "${operator?}"

as_operand "$path"
test "$operator" "$operand"
