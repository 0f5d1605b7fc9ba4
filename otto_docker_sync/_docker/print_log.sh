#!/bin/sh
# The one place that calls `docker logs`.
: "${docker?}"

# Print what a container has printed on either stream: print_log OPTION... CONTAINER. Becomes the client, so that who
# has its process id can end it: to go on after it, call it in a subshell.
#
# Each line begins with its time. One that does not was printed by a wrapper around the client, or is an error.
print_log() {
    eval "exec $docker logs --timestamps \"\$@\"" 2>&1
}
