#!/bin/sh
# Report what is mounted in a container, as JSON: what docker calls mounts, and what --tmpfs made.
. ./inspect.sh
inspect "<$nonce> {{json .Mounts}}{{println}}<$nonce> {{json .HostConfig.Tmpfs}}"
