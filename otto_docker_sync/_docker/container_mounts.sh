#!/bin/sh
# Report what is mounted in a container, as JSON: what docker calls mounts, and what --tmpfs made.
: "${docker?}" "${nonce?}" "${container?}"
set -- "<$nonce> {{json .Mounts}}{{println}}<$nonce> {{json .HostConfig.Tmpfs}}" "$container"
eval "$docker inspect --type container --format \"\$1\" \"\$2\""
