#!/bin/sh
# run_docker ARGUMENT...: the docker client. $docker holds its words, quoted for a shell.
: "${docker?}"

run_docker() {
    eval "$docker"' "$@"'
}
