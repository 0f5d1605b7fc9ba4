#!/bin/sh
# What both reports of a container ask docker for: state, exit status, whether memory was short, restarts, health.
health='{{if .State.Health}}{{.State.Health.Status}}{{end}}'
# shellcheck disable=SC2034 # for who includes this
words="{{.State.Status}}|{{.State.ExitCode}}|{{.State.OOMKilled}}|{{.RestartCount}}|$health"
