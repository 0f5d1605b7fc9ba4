#!/bin/sh
# Removes the stage of a script that was killed: a directory, or a file.
#
# destination  the directory
# stage        the name of the stage in it
. ./common.sh
. ./operand.sh
: "${destination?}" "${stage?}"

as_operand "$destination"
cd -P -- "$operand" || exit
# A tar that was not killed with its script still writes until its stdin has ended.
round=0
while [ -e "./$stage" ] && [ "$round" -lt 50 ]; do
    chmod -R u+rwx "./$stage"
    rm -rf "./$stage"
    round=$((round + 1))
done 2>/dev/null
[ -e "./$stage" ] || say removed
