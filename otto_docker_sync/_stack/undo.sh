#!/bin/sh
# How a script that brings a stack up takes it back: $was_up are the containers that ran before, $services_before their
# services, $networks_before the stack's networks.
note_if_up() {
    [ "$6" = running ] || return 0
    was_up="$was_up $1"
    services_before="$services_before $3"
}

note_what_is_up() {
    was_up=
    services_before=
    each_container note_if_up
    ask network ls --filter "$mine" --format "<$nonce> {{.ID}}" || return
    networks_before=$(printf %s "$answer" | tr '\n' ' ')
}

remove_if_new() {
    case " $was_up " in
    *" $1 "*) return ;;
    esac
    # A service that was up before, and runs again in a new container, stays.
    case " $services_before " in
    *" $3 "*) [ "$6" != running ] || return ;;
    esac
    dock rm -fv "$1"
    removed=1
}

# Take down again what was not up before. The daemon may still be creating what it was asked for last.
undo() {
    if [ -z "$was_up" ]; then
        settle
        teardown 1 ''
        return
    fi
    removed=1
    while [ -n "$removed" ]; do
        sleep 1
        removed=
        look && each_container remove_if_new
    done
    ask network ls --filter "$mine" --format "<$nonce> {{.ID}}"
    for network in $answer; do
        case " $networks_before " in
        *" $network "*) ;;
        *) dock network rm "$network" ;;
        esac
    done
}
