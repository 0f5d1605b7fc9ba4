#!/bin/sh
# Report which of these paths this machine does not have; `paths` is a list of shell words.
: "${paths?}"
. ./prelude.sh
eval "set -- $paths"
for path; do
    [ -e "$path" ] || say missing "$path"
done
