#!/bin/sh
# Bring the stack up, and see that it is.
#
# wanted: the services that have to run, as "api" or "api#2"; expected: all that Compose starts. names: those that
# Compose is to start, all when empty. ensure: nothing is done when this service runs already. moment: seconds that
# services have to live before they count as running; restarts: how often Docker may restart one until it is given up.
: "${digest?}" "${options?}" "${names?}" "${wanted?}" "${expected?}" "${ensure?}" "${keep?}" "${update?}"
: "${moment?}" "${restarts?}" "${tail?}"
. ./prelude.sh
. ./undo.sh
. ../_docker/print_log.sh

# Note what of a container counts: its start, its service, and what is wrong with it.
judge_container() {
    [ "$5" != True ] || return 0
    case " $expected " in
    *" $3 "*) ;;
    *) return ;;
    esac
    case $6 in
    running)
        running="$running $1=$9"
        up="$up $3 $3#$4 "
        # One that was restarted since the last look, and not for the first time.
        case "$previous " in
        *" $1=$9 "*) ;;
        *" $1="*) [ "$8" -lt "$restarts" ] || broken="$broken $3#$4" ;;
        esac
        ;;
    exited) [ "$7" = 0 ] || broken="$broken $3#$4" ;;
    restarting) if [ "$8" -lt "$restarts" ]; then unsettled=1; else broken="$broken $3#$4"; fi ;;
    *) broken="$broken $3#$4" ;;
    esac
}

judge() {
    running=
    up=
    broken=
    unsettled=
    look && each_container judge_container
}

# Wait until the services have run for a moment; $broken are those that do not.
wait_until_up() {
    while :; do
        previous=$running
        judge || exit
        [ -z "$broken" ] || return
        if [ -z "$unsettled" ]; then
            for service in $wanted; do
                case $up in
                *" $service "*) ;;
                *) broken="$broken $service" ;;
                esac
            done
            [ -z "$broken" ] && [ "$running" != "$previous" ] || return
        fi
        sleep "$moment" 2>/dev/null || sleep 1
    done
}

say_last_words() {
    [ "$5" != True ] || return 0
    case $service in
    "$3" | "$3#$4") ;;
    *) return ;;
    esac
    # Asked again, because the status that stands in $statuses may be older than what was seen.
    ask ps -a --filter "id=$1" --format "<$nonce> {{.Status}}" && say state "$answer"
    (print_log --tail "$tail" "$1" 8>&- 9>&-)
}

# Unpack the archive beside the tree, so that one which was cut off spoils nothing, and bring the tree to its state.
unpack() {
    rm -rf "$d/new"
    mkdir "$d/new" && tar -xzpof "$d/$digest.tgz" -C "$d/new" || return
    rm -f "$d/digest" "$d/$digest.tgz"
    if [ ! -e "$d/tree" ] || [ ! -f "$d/files" ]; then
        rm -rf "$d/tree" 2>/dev/null || as_root rm -rf "$d/tree" || return
        mv "$d/new/tree" "$d/tree" || return
    else
        sh -c "$update" sh "$d" '' 2>/dev/null || as_root sh -c "$update" sh "$d" as-root || return
    fi
    for name in files setup services values.env; do
        mv -f "$d/new/$name" "$d/$name" || return
    done
    rm -rf "$d/new" 2>/dev/null || as_root rm -rf "$d/new"
    printf %s "$digest" >"$d/digest"
}

lock
previous=
judge || exit
note_what_is_up || exit
say was-up "$was_up"
say services-before "$services_before"
say networks-before "$networks_before"
if [ -n "$ensure" ]; then
    case $up in
    *" $ensure "*)
        say_containers
        exit 0
        ;;
    esac
fi
if [ "$(cat "$d/digest" 2>/dev/null)" != "$digest" ]; then
    [ -f "$d/$digest.tgz" ] || {
        say again
        exit 0
    }
    [ -z "$was_up" ] || [ -f "$d/digest" ] || : >"$d/kept"
    unpack || exit
fi
rm -f "$d/$digest.tgz"
say starting
(
    # shellcheck disable=SC2034  # setup uses it
    base=$d
    # shellcheck source=/dev/null
    . "$d/setup"
    # shellcheck disable=SC2086
    compose "$@" up -d $options $names
) || {
    say failed
    undo >/dev/null 2>&1
    exit 1
}
wait_until_up
if [ -n "$broken" ]; then
    for service in $broken; do
        say lost "$service"
        each_container say_last_words
    done
    undo >/dev/null 2>&1
    exit 0
fi
[ -z "$keep" ] || : >"$d/kept"
say_containers
