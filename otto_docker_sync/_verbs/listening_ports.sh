#!/bin/sh
# Report the TCP ports on which somebody listens in the network of this shell, in hexadecimal digits; "unknown" where
# the system does not tell.
: "${nonce?}"
known=
for table in /proc/net/tcp /proc/net/tcp6; do
    # Each line has a number, the own address, the remote one and the state, which is 0A for a listener.
    {
        while read -r _ own _ state _; do
            case $state in
            st) known=1 ;;
            0A) printf '<%s> %s\n' "$nonce" "${own##*:}" ;;
            esac
        done <"$table"
    } 2>/dev/null
done
[ "$known" ] || printf '<%s> unknown\n' "$nonce"
