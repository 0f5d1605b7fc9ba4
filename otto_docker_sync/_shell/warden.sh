#!/bin/sh
# The warden of a host's shells. It takes orders on stdin and answers each; when its stdin ends, because the client is
# gone, it kills everything that carries $1 in its environment.
#
# ID run TAG SID SINCE   kills what one command left behind
# ID shell TAG SID       kills a shell and all of its processes
# ID now                 answers with the clock ticks since the machine's start, which is how SINCE is given
# ID end                 does what the end of stdin does
#
# An answer is <ID:NUMBER LEFT|UNSEEN>, with what kill_tree has left.
. ./kill_tree.sh
: "${begin_first?}" "${begin_second?}"

# A shell of the host begins with a look at this descriptor (lease_check.sh). It is closed before the last kill, so a
# shell that is started meanwhile either is found by that, or leaves by itself.
exec 9<&0
self=$$
# It must not die of an answer that nobody reads, or of a terminal's end, before it has done its work.
trap '' HUP INT PIPE TERM
command printf '<%s%s>\n' "$begin_first" "$begin_second"
printf '<%s>' "$$"

while read -r id verb tag sid since; do
    left=
    unseen=
    case $verb in
    run)
        kill_tree "$tag" "$sid" "$since" "$sid" "$sid"
        answer=$?
        ;;
    shell)
        kill_tree "$tag" "$sid" 0 '' "$sid"
        answer=$?
        ;;
    end)
        break
        ;;
    *)
        # Without /proc there is nothing to kill, and any answer will do.
        { read -r uptime line </proc/uptime; } 2>/dev/null || uptime=9999999999.0
        answer=${uptime%.*}${uptime#*.}
        ;;
    esac
    printf '<%s:%s%s|%s>\n' "$id" "$answer" "$left" "$unseen"
done

exec 9<&-
# Twice, because the environment of a process cannot be read during execve(), which every session's shell goes through.
kill_tree "$1" '' 0 '' "$$"
kill_tree "$1" '' 0 '' "$$" "$left"
printf '<%s:%s%s|%s>\n' "$id" "$?" "$left" "$unseen"
