#!/bin/sh
# On the parent: sends what docker knows of a container, as JSON.
. ./common.sh
. ./keepalive.sh
. ./docker.sh
: "${container?}"

say facts
error=$(run_docker inspect --type container -f '{{json .}}' "$container" 2>&1 >&4)
say end 0 $? "$error"
