#!/bin/sh
# otto_wait_for_reader: wait for the end of the stdin lease, on 3, which the client ends when it has read all. What
# nobody has read two seconds after the end of a process, docker drops.
otto_wait_for_reader() {
    while read -r _; do
        :
    done <&3
}
