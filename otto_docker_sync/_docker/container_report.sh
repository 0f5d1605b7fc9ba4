#!/bin/sh
# Report how a container is, for people: its state, its processes, and the time by the same clock.
. ./inspect.sh
. ./state_words.sh
inspect "<$nonce> state $words" || exit
# What a wrapper around the client prints comes before the head of the table. One that does not run has no processes.
eval "$docker top \"\$container\"" 2>/dev/null | sed -n "/PID/,\$s/^/<$nonce> process /p"
printf '<%s> now %s\n' "$nonce" "$(date -u '+%FT%T.%N')"
