#!/bin/sh
# Report the processes of this login that belong to calls of the library: for each, the markers in its environment, and
# the words of its command line, where it is a docker client that carries them into a container.
: "${otto_nonce?}"
printf '\n<%s> self %s\n' "$otto_nonce" "${OTTO_TAG-}"
grep -lE 'OTTO_(TAG|SESSION|RUN)=' /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | while read -r file; do
    process=${file%/*}
    # Of root, processes of others and of containers can be read too.
    [ -O "$process/environ" ] || continue
    # shellcheck disable=SC3013  # dash, busybox and bash know -ef
    [ "$process/ns/pid" -ef /proc/self/ns/pid ] || continue
    printf '<%s> %s\n' "$otto_nonce" "${file##*/}"
    case $file in
    */environ) tr '\0' '\n' <"$file" | grep -E '^OTTO_(TAG|SESSION|RUN)=' ;;
    *) tr '\0' '\n' <"$file" ;;
    esac
done 2>/dev/null
exit 0
