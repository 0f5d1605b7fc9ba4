#!/bin/sh
# What all scripts of a stack begin with. They run on the parent, one stack each.
#
# $d is the private directory of the stack. Only who holds its lock may remove it. In it:
#   lock      held by one script at a time
#   lease     held shared by every run inside `composed`
#   kept      there when the stack is to outlive these runs
#   digest    of what was unpacked last; when it is missing, the tree is not complete
#   tree      the project's files, laid out as on the controller
#   files     what we put into the tree, a line each: kind and content, then the name
#   setup     shell text that goes to the project's directory and sets Compose's options
#   services  the names of the services
# Beside it, in $root, are directories that one script alone uses; their names begin with a dot, as no stack's does.
# A kernel's lock ends with its holder, so nothing has to be cleaned up after a crash.
: "${project?}" "${nonce?}" "${docker?}" "${compose?}" "${row?}"
umask 077
set -f
root="${HOME:?}/.cache/otto-docker"
d=$root/$project
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

# Open a file of the stack's directory as a descriptor, and lock it: lock_file DESCRIPTOR NAME [-s]
# Another script may remove the directory at any moment, and then it is made again. A lock in one that was removed while
# we waited is worth nothing, so the file is looked at again.
lock_file() {
    failures=0
    while :; do
        mkdir -p "$d" || exit
        if ! { eval "command exec $1>>\"\$d/\$2\""; } 2>/dev/null; then
            [ $((failures += 1)) -lt 100 ] && continue
            eval "exec $1>>\"\$d/\$2\"" || exit # says why it cannot be written
        fi
        # shellcheck disable=SC2086
        flock ${3-} "$1" || exit
        # shellcheck disable=SC3013  # dash, busybox and bash know -ef
        [ "$d/$2" -ef "/proc/self/fd/$1" ] && return
    done
}

# Take the lock of the stack.
lock() {
    lock_file 9 lock
    say locked
}

# Set $private to a new directory that nobody else uses. What scripts that were killed left of theirs goes.
make_private() {
    mkdir -p "$root" && private=$(mktemp -d "$root/.private.XXXXXX") && private=$(cd "$private" && pwd -P) || exit
    find "$root" -mindepth 1 -maxdepth 1 -name '.private.*' -mmin +1440 -exec rm -rf {} + 2>/dev/null
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

# Remove the stack's directory; who calls this has its lock. Fails when another run holds the stack, or when files are
# left in it.
remove_directory() {
    exec 8>>"$d/lease"
    [ ! -e "$d/tree" ] && flock -n 8 || return
    # Out of the way in one step: whoever comes meanwhile makes a directory of his own, with another lock.
    make_private
    mv "$d" "$private" && rm -rf "$private"
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
        remove_directory || rm -rf "$d/setup" "$d/files" "$d/services" "$d/values.env"
    } 3>&1 >&2
}
