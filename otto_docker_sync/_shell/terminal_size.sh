#!/bin/sh
# Gives a person's terminal its size. Docker does so a moment after the start, or not at all, and a change of the window
# that comes while it does is lost: so wait for it, for a second at most.
: "${otto_columns?}" "${otto_rows?}"

otto_tries=0
while [ "$(stty size 2>/dev/null)" = '0 0' ] && [ "$otto_tries" -lt 20 ]; do
    sleep 0.05 2>/dev/null || {
        sleep 1
        break
    }
    otto_tries=$((otto_tries + 1))
done
stty columns "$otto_columns" rows "$otto_rows" 2>/dev/null
