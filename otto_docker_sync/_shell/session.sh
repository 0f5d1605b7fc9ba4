#!/bin/sh
# Becomes the shell of a session, on a terminal. lease_check.sh stands in front of it.
: "${otto_columns?}" "${otto_rows?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_shell?}"

stty -echo 2>/dev/null
# Docker gives a terminal its size late, or not at all.
stty columns "$otto_columns" rows "$otto_rows" 2>/dev/null
# The other side must not type before this: until then the terminals on the way are not raw, and act on what they get.
command printf '<%s%s>\n' "$otto_begin_first" "$otto_begin_second"
exec "$otto_shell"
