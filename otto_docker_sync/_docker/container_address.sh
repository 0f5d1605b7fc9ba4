#!/bin/sh
# Report where the ports of a container are: its state, its network mode, and its addresses.
. ./inspect.sh
networks='{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}'
inspect "<$nonce> {{.State.Status}} {{.HostConfig.NetworkMode}}$networks"
