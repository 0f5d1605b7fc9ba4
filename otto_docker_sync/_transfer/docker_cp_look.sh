#!/bin/sh
# On the parent: sends how the tar streams of paths in a container begin, which is enough to see whether a path is a link.
# "look CONTAINER:PATH..." is called with the paths.
. ./common.sh
. ./keepalive.sh
. ./docker.sh

look() {
    for path; do
        say header
        run_docker cp "$path" - 2>/dev/null | head -c 4096 >&4
    done
}
