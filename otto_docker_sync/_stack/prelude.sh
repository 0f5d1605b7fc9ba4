#!/bin/sh
# What all scripts of a stack begin with. They run on the parent, one stack each.
#
# $d is the private directory of the stack. In it:
#   lock      held by one script at a time
#   lease     held shared by every run inside `composed`
#   kept      there when the stack is to outlive these runs
#   digest    of what was unpacked last; when it is missing, the tree is not complete
#   tree      the project's files, laid out as on the controller
#   files     what we put into the tree, a line each: kind and content, then the name
#   setup     shell text that goes to the project's directory and sets Compose's options
#   services  the names of the services
# A kernel's lock ends with its holder, so nothing has to be cleaned up after a crash.
: "${project?}" "${nonce?}" "${docker?}" "${compose?}" "${row?}"
umask 077
set -f
d="${HOME:?}/.cache/otto-docker/$project"
label=com.docker.compose
mine="label=$label.project=$project"
line_end='
'
usual_ifs=$IFS
export COMPOSE_ANSI=never COMPOSE_PROGRESS=plain BUILDKIT_PROGRESS=plain DOCKER_CLI_HINTS=false

# Report a word, and what belongs to it, to the controller.
say() {
    printf '\n<%s> %s\n' "$nonce" "$*"
}

# The docker client and Compose. They do not inherit our locks: what they leave in the background would hold them.
dock() {
    eval "$docker \"\$@\"" 8>&- 9>&-
}

compose() {
    eval "$compose -p \"\$project\" \"\$@\"" 8>&- 9>&-
}

# Ask the docker client; $answer gets the lines that it was asked to begin with <nonce>. All other lines are those of
# a wrapper around the client. Fails as the client does.
ask() {
    answer=$(dock "$@") || return
    answer=$(printf '%s\n' "$answer" | sed -n "s/.*<$nonce> //p")
}

# Set $ids to the stack's containers, in any state.
find_ids() {
    ask ps -a --no-trunc --filter "$mine" --format "<$nonce> {{.ID}}" || return
    ids=$answer
}

# Set $rows to the stack's containers, one a line, in the fields of $row; and $statuses to what people read of each.
look() {
    rows=
    for _ in 1 2 3; do
        ask ps -a --no-trunc --filter "$mine" --format "<$nonce> {{.ID}}|{{.Status}}" || return
        statuses=$answer
        [ -n "$statuses" ] || return 0
        # A container may go between the two questions: then the second one fails, and both are asked again.
        # shellcheck disable=SC2046
        if ask inspect --type container --format "<$nonce> $row" $(printf '%s\n' "$statuses" | cut -d '|' -f 1); then
            rows=$answer
            return 0
        fi
    done
    return 1
}

# Call a function for each container in $rows, with its fields:
# id, project, service, number, whether it is a one-off, state, exit status, restarts, start, name, image.
each_container() {
    visitor=$1
    IFS=$line_end
    for container in $rows; do
        IFS='|'
        # shellcheck disable=SC2086
        set -- $container
        IFS=$usual_ifs
        "$visitor" "$@"
    done
    IFS=$usual_ifs
}

say_container() {
    say container "$container"
    say status "$(printf '%s\n' "$statuses" | sed -n "/^$1|/p")"
}

say_containers() {
    each_container say_container
}

# Take the lock. One in a directory that was removed meanwhile is worth nothing, so the file is looked at again.
lock() {
    while :; do
        mkdir -p "$d" && exec 9>>"$d/lock" && flock 9 || exit
        # shellcheck disable=SC3013  # dash, busybox and bash know -ef
        [ "$d/lock" -ef /proc/self/fd/9 ] && break
    done
    say locked
}

# Run a program as root on this machine: in a container that has the machine's own programs, and the stack's
# directory. What containers wrote as another user cannot be changed in any other way by a login that is not root.
as_root() {
    root_image="otto-docker-root-$project"
    tar -cf - -T /dev/null | dock import - "$root_image" >&2 || return
    set -- "$root_image" "$@"
    for directory in /bin /sbin /lib /lib32 /lib64 /usr /nix; do
        [ ! -e "$directory" ] || set -- -v "$directory:$directory:ro" "$@"
    done
    dock run --rm --network none --user 0:0 --security-opt label=disable -v "$d:$d" "$@" >&2
    as_root_status=$?
    dock rmi -f "$root_image" >/dev/null
    return "$as_root_status"
}

# Remove the containers that a Compose which failed, or was cut off, left: the daemon may still be creating what it was
# asked for last, so this goes on until there are none for a second.
settle() {
    while sleep 1 && find_ids && [ -n "$ids" ]; do
        # shellcheck disable=SC2086
        dock rm -fv $ids
    done >&2
}

# Take the stack down, with its directory, but for the locks that others hold.
# teardown STOP_TIMEOUT VOLUMES: seconds that containers get to stop; "--volumes" removes the volumes, too
teardown() {
    stop_timeout=$1
    volumes=$2
    {
        if [ -f "$d/digest" ]; then
            (
                # shellcheck disable=SC2034  # setup uses it
                base=$d
                # shellcheck source=/dev/null
                . "$d/setup"
                # shellcheck disable=SC2086
                compose "$@" down -t "$stop_timeout" --remove-orphans $volumes
            )
        fi
        find_ids || return
        if [ -n "$ids" ]; then
            # shellcheck disable=SC2086
            dock stop -t "$stop_timeout" $ids
            # shellcheck disable=SC2086
            dock rm -fv $ids
        fi
        ask network ls --filter "$mine" --format "<$nonce> {{.ID}}"
        # shellcheck disable=SC2086
        [ -z "$answer" ] || dock network rm $answer
        if [ -n "$volumes" ]; then
            ask volume ls --filter "$mine" --format "<$nonce> {{.Name}}"
            # shellcheck disable=SC2086
            [ -z "$answer" ] || dock volume rm $answer
        fi
        find_ids && [ -z "$ids" ] || return 1
        rm -f "$d/digest" "$d/kept"
        rm -rf "$d/tree" "$d/new" 2>/dev/null || as_root rm -rf "$d/tree" "$d/new" || say left "$d/tree" >&3
        exec 8>>"$d/lease"
        if flock -n 8; then
            rm -rf "$d"
        else
            rm -rf "$d/setup" "$d/files" "$d/services" "$d/values.env"
        fi
    } 3>&1 >&2
}
