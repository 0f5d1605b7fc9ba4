#!/bin/sh
# Make the directory of the stack, and report where it is.
. ./prelude.sh
mkdir -p "$d" || exit
say directory "$d"
