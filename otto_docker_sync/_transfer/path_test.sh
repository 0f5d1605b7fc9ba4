#!/bin/sh
# Whether a test of the shell holds for a path; the answer is the exit status.
. ./path.sh
: "${operator?}"

test "$operator" "$operand"
