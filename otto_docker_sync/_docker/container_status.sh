#!/bin/sh
# Report how a container is: status, exit status, whether memory was short, restarts, health, its start, its
# end, and the last answers of its health check as JSON.
. ./inspect.sh
. ./state_words.sh
probes='{{if .State.Health}}{{json .State.Health.Log}}{{end}}'
inspect "<$nonce> $words|{{.State.StartedAt}}|{{.State.FinishedAt}}|$probes"
