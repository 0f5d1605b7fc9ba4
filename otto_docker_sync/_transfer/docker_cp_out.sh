#!/bin/sh
# On the parent: sends sources of a container as tar streams, as many as "send NUMBER CONTAINER:PATH..." is called with.
# They are staged first, since the stream of docker cp locks docker exec out of the container until somebody has taken
# all of it.
. ./common.sh
. ./keepalive.sh
. ./docker.sh

stage=${TMPDIR:-/tmp}/otto-docker.$nonce
error=$(mkdir "$stage" 2>&1) || {
    say failed "$error"
    exit
}
trap 'stop_watcher; rm -rf "$stage"' EXIT

send() {
    while [ $# -gt 0 ]; do
        error=$(run_docker cp -L "$2" - 2>&1 >"$stage/tar")
        status=$?
        say tree "$1"
        cat "$stage/tar"
        say end "$1" $status "$error"
        shift 2
    done
}
