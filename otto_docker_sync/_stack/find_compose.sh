#!/bin/sh
# Report which Compose there is: 2 is the plugin of the docker client, 1 the older program of its own, podman the one
# that stands in for either.
: "${old_compose?}"
. ./prelude.sh
find_ids || {
    say no-docker
    exit 0
}
kind=
if version=$(dock compose version 2>/dev/null); then
    kind=2
elif version=$(eval "$old_compose version" 2>/dev/null); then
    kind=1
fi
case $version in
*podman-compose*) say compose "$kind" podman ;;
*) [ -z "$kind" ] || say compose "$kind" "$kind" ;;
esac
case $(dock compose up --help 2>/dev/null) in
*--pull*) say pull ;;
esac
