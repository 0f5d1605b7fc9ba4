#!/bin/sh
# Report how a container is: status, exit status, whether memory was short, restarts, health, its start, its
# end, and the last answers of its health check as JSON.
: "${docker?}" "${nonce?}" "${container?}"
. ./state_words.sh
probes='{{if .State.Health}}{{json .State.Health.Log}}{{end}}'
set -- "<$nonce> $words|{{.State.StartedAt}}|{{.State.FinishedAt}}|$probes" "$container"
eval "$docker inspect --type container --format \"\$1\" \"\$2\""
