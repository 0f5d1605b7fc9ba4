#!/bin/sh
# Report where the ports of a container are: its state, its network mode, and its addresses.
: "${docker?}" "${nonce?}" "${container?}"
networks='{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}'
set -- "<$nonce> {{.State.Status}} {{.HostConfig.NetworkMode}}$networks" "$container"
eval "$docker inspect --type container --format \"\$1\" \"\$2\""
