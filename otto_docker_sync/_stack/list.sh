#!/bin/sh
# Report the containers of the stack; with `everywhere`, of all stacks on this machine.
: "${everywhere?}"
. ./prelude.sh
[ -z "$everywhere" ] || mine="label=$label.project"
look || exit
say_containers
