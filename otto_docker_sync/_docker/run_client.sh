#!/bin/sh
# run_client COMMAND...: Run what becomes a docker client, with an empty stdin, and return its exit status. It is killed
# when the script's stdin ends, or says so.
run_client() {
    exec 3<&0 </dev/null
    "$@" 3<&- &
    client=$!
    {
        while read -r line && [ "$line" != end ]; do :; done
        kill "$client"
    } <&3 >/dev/null 2>&1 &
    watcher=$!
    wait "$client"
    status=$?
    kill "$watcher"
    return $status
}
