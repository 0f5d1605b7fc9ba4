#!/bin/sh
# Wait for the docker client with the process id $1, and return its exit status. It is killed when the script's stdin
# ends, which is descriptor 3 here.
wait_for_client() {
    {
        while read -r line && [ "$line" != end ]; do :; done
        kill "$1"
    } <&3 >/dev/null 2>&1 &
    watcher=$!
    wait "$1"
    status=$?
    kill "$watcher"
    return $status
}
