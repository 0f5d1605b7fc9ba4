#!/bin/sh
# On the parent: stages a tar stream, then gives it to docker cp. Given the stream itself, docker cp would lock docker
# exec out of the container for as long as the bytes need to arrive.
#
# target  container:path
# size    of the stream, in bytes
. ./common.sh
. ./docker.sh
: "${target?}" "${size?}"

stage=${TMPDIR:-/tmp}/otto-docker.$nonce
error=$(mkdir "$stage" 2>&1) || {
    say failed "$error"
    exit
}
trap 'rm -rf "$stage"' EXIT
say ready
error=$(head -c "$size" 2>&1 >"$stage/tar")
if [ "$(wc -c <"$stage/tar")" -ne "$size" ]; then
    say failed "staging on the parent: ${error:-the data ended early}"
elif error=$(run_docker cp - "$target" 2>&1 >/dev/null <"$stage/tar"); then
    say finished
else
    say failed "$error"
fi
