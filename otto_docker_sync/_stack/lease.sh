#!/bin/sh
# Hold the stack until stdin ends, or says so. The lock is shared: every run inside `composed` has one.
. ./prelude.sh
while :; do
    mkdir -p "$d" && exec 8>>"$d/lease" && flock -s 8 || exit
    # shellcheck disable=SC3013  # dash, busybox and bash know -ef
    [ "$d/lease" -ef /proc/self/fd/8 ] && break
done
say held
while read -r line && [ "$line" != end ]; do :; done
