#!/bin/sh
# Take down what an `up` that was cut off has started, while other services of the stack were up before.
: "${was_up?}" "${services_before?}" "${networks_before?}"
. ./prelude.sh
. ./undo.sh
lock
undo
