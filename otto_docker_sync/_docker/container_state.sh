#!/bin/sh
# Report the state of a container, when it was started, and the time by the same clock.
. ./inspect.sh
inspect "<$nonce> {{.State.Status}} {{.State.StartedAt}}" || exit
printf '<%s> %s\n' "$nonce" "$(date -u '+%FT%T.%N')"
