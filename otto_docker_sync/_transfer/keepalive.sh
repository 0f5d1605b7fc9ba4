#!/bin/sh
# Ends the whole process group when stdin ends, because the client is gone. From here on 3 is what was stdin, 4 is
# stdout, and stdin is empty.
. ../_shell/wait_for_reader.sh
exec 3<&0 </dev/null 4>&1
{
    while read -r _; do
        :
    done
    kill -TERM 0
} <&3 >/dev/null 2>&1 4>&- &
watcher=$!

# stop_watcher: what follows may take as long as it takes. The watcher is waited for, because process 1 of a container
# may collect no orphans.
stop_watcher() {
    trap '' TERM
    if [ -n "$watcher" ]; then
        kill -9 "$watcher"
        wait "$watcher"
        watcher=
    fi 2>/dev/null
}
trap stop_watcher EXIT
