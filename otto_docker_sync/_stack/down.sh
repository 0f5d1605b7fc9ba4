#!/bin/sh
# Take the stack down. if_last: only when no other run uses it. settling: a Compose that was cut off may have left work.
: "${stop_timeout?}" "${volumes?}" "${if_last?}" "${settling?}"
. ./prelude.sh
lock
if [ -n "$if_last" ]; then
    [ ! -f "$d/kept" ] || {
        say kept
        exit 0
    }
    exec 8>>"$d/lease"
    flock -n 8 || {
        say shared
        exit 0
    }
fi
find_ids || exit
[ -z "$settling" ] || settle
teardown "$stop_timeout" "$volumes"
