#!/bin/sh
# Ends every process that was started under an older reservation of one of these tags, with all that descends from it.
#
# Such a process has OTTO_LEASE=,HASH:FENCE:MODE,HASH:FENCE:MODE,; in its environment. kill_tree stands in front.
: "${otto_hashes?}" "${otto_fence?}" "${otto_modes?}"

# shellcheck disable=SC2034 # kill_tree spares it
self=$$
otto_old=
for dir in /proc/[0-9]*; do
    while read -r line || [ "$line" ]; do
        case $line in
        *OTTO_LEASE=,*) ;;
        *) continue ;;
        esac
        line=${line#*OTTO_LEASE=,}
        marks=${line%%;*}
        case " $otto_old " in
        *" $marks "*) continue ;;
        esac
        rest=$marks
        while [ "$rest" ]; do
            mark=${rest%%,*}
            rest=${rest#*,}
            hash=${mark%%:*}
            mode=${mark##*:}
            fence=${mark#*:}
            fence=${fence%:*}
            case " $otto_hashes " in
            *" $hash "*) ;;
            *) continue ;;
            esac
            case $otto_modes in
            *"$mode"*) ;;
            *) continue ;;
            esac
            [ "$fence" -lt "$otto_fence" ] && otto_old="$otto_old $marks" && break
        done
    done 2>/dev/null <"$dir/environ"
done 2>/dev/null
otto_status=0
for marks in $otto_old; do
    kill_tree "OTTO_LEASE=,$marks;" '' 0 '' '' || otto_status=1
done
exit $otto_status
