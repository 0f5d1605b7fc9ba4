#!/bin/sh
# Reads the command that comes on descriptor 3, in the shell that the user has chosen, and leaves it in $1 for who has
# called this by `eval`. In front of it come the number of the process that writes all this, and the lines that set the
# command's environment, up to one that is $1. $3 is the number of the line on which the command will be run.

read -r otto_writer <&3
otto_script=
otto_block=
otto_count=0
while IFS= read -r otto_line <&3; do
    if [ "$otto_line" = "$1" ]; then
        eval "$otto_script$otto_block"
        otto_script=
        otto_block=
        continue
    fi
    otto_block="$otto_block$otto_line
"
    otto_count=$((otto_count + 1))
    if [ "$otto_count" = 200 ]; then
        otto_script=$otto_script$otto_block
        otto_block=
        otto_count=0
    fi
done
exec 3<&-
# A command that looks at all processes must not see the writer vanish.
otto_count=0
while [ -n "$otto_writer" ] && [ -d "/proc/$otto_writer" ] && [ "$otto_count" -lt 100000 ]; do
    otto_count=$((otto_count + 1))
done
# BusyBox counts lines from 0: the text then has one more, so that messages have the user's own line numbers.
case $3 in
0) otto_script="
$otto_script" ;;
esac
# A positional parameter holds the text, so that the command meets no variable of ours.
set -- "$otto_script$otto_block"
unset otto_script otto_block otto_count otto_line otto_writer
