#!/bin/sh
# Report the state of a container, when it was started, and the time by the same clock.
: "${docker?}" "${nonce?}" "${container?}"
set -- "<$nonce> {{.State.Status}} {{.State.StartedAt}}" "$container"
eval "$docker inspect --type container --format \"\$1\" \"\$2\"" || exit
printf '<%s> %s\n' "$nonce" "$(date -u '+%FT%T.%N')"
