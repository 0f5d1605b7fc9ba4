#!/bin/sh
# Report the containers of a Compose service: number, whether it is a one-off, id.
#
# which: the options of `ps` that choose among them, as shell words.
# Labels come from `inspect`, which docker and podman answer alike, and not from the format of `ps`. Each answer begins
# with <nonce>: all other lines are those of a wrapper around the client.
: "${docker?}" "${nonce?}" "${project?}" "${service?}" "${which?}"
set -f
label=com.docker.compose
set -- --filter "label=$label.project=$project" --filter "label=$label.service=$service"
ids=$(eval "$docker ps --no-trunc $which \"\$@\" --format '<$nonce> {{.ID}}'") || exit
ids=$(printf '%s\n' "$ids" | sed -n "s/.*<$nonce> //p")
[ -n "$ids" ] || exit 0
# shellcheck disable=SC2034  # eval uses it
row="<$nonce> {{index .Config.Labels \"$label.container-number\"}}|{{index .Config.Labels \"$label.oneoff\"}}|{{.Id}}"
# shellcheck disable=SC2086
set -- $ids
# One that has gone meanwhile makes it fail; the answers about the others hold.
eval "$docker inspect --type container --format \"\$row\" \"\$@\"" 2>/dev/null
exit 0
