#!/bin/sh
# Ends what a kill_tree had to leave: as a user who may do that, or once more as the same one. Says what is there then,
# by name, and at last what a warden says.
#
# roots, strangers  what that kill_tree found, as its `left` and `unseen`
. ./kill_tree.sh
: "${nonce?}" "${needle?}" "${keep?}" "${roots?}" "${strangers?}"

# show WORD PID:START:UID:GID, if that process is still there
show() {
    pid=${2%%:*}
    { read -r line <"/proc/$pid/stat"; } 2>/dev/null || return 0
    name=${line#*\(}
    name=${name%)*}
    # shellcheck disable=SC2086
    set -- "$1" "$2" ${line##*) }
    case $3:$2 in
    Z:* | X:*) return 0 ;;
    ?:"$pid:${22}":*) ;;
    *) return 0 ;;
    esac
    user=${2#*:*:}
    user=${user%:*}
    while IFS=: read -r account line uid line; do
        [ "$uid" = "$user" ] && user=$account && break
    done 2>/dev/null </etc/passwd
    command=$(tr '\000\n\r' '   ' <"/proc/$pid/cmdline" 2>/dev/null)
    echo "<$nonce> $1 $pid $3 $user ${command:-$name}"
}

# What sudo starts while it is being killed has neither its parent nor the environment. In the session of the shell
# that stays, it is found by its start.
since=
for process in $roots; do
    process=${process#*:}
    process=${process%%:*}
    [ -n "$since" ] && [ "$since" -le "$process" ] || since=$process
done
# shellcheck disable=SC2034 # kill_tree spares it
self=$$
# shellcheck disable=SC2154 # it sets `left`
kill_tree "$needle" "${since:+$keep}" "${since:-0}" "$keep" '' "$roots"
for process in $left; do
    show left "$process"
done
for process in $strangers; do
    show unseen "$process"
done
printf '<%s:%s%s|%s>\n' "$nonce" 0 "$left" "$strangers"
