#!/bin/sh
# Report the processes of this login that belong to calls of the library: for each, the markers in its environment, and
# the words of its command line, where it is a docker client that carries them into a container.
: "${otto_nonce?}"
printf '\n<%s> self %s\n' "$otto_nonce" "${OTTO_TAG-}"
# Processes of others and of containers are not even opened, though root may read them: one that is short of memory
# keeps its readers waiting.
set --
for process in /proc/[0-9]*; do
    # shellcheck disable=SC3013  # dash, busybox and bash know -ef
    if [ -O "$process/environ" ] && [ "$process/ns/pid" -ef /proc/self/ns/pid ]; then
        set -- "$@" "$process/environ" "$process/cmdline"
    fi
done
grep -lE 'OTTO_(TAG|SESSION|RUN)=' "$@" 2>/dev/null </dev/null | while read -r file; do
    printf '<%s> %s\n' "$otto_nonce" "${file##*/}"
    case $file in
    */environ) tr '\0' '\n' <"$file" | grep -E '^OTTO_(TAG|SESSION|RUN)=' ;;
    *) tr '\0' '\n' <"$file" ;;
    esac
done 2>/dev/null
exit 0
