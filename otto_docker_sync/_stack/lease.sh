#!/bin/sh
# Hold the stack until stdin ends, or says so. The lock is shared: every run inside `composed` has one. Reports where
# the stack's directory is, which is not removed meanwhile.
. ./prelude.sh
lock_file 8 lease -s
say held "$d"
while read -r line && [ "$line" != end ]; do :; done
exec 8>&-
# A directory that was made for a stack which did not come up is nobody's.
if command exec 9<"$d/lock" && flock -n 9 && [ ! -f "$d/digest" ]; then
    remove_directory
fi 2>/dev/null
