#!/bin/sh
# Runs the script that comes on stdin up to a line that is the nonce; the rest of stdin belongs to that script.
#
# The names of variables are long because the script may be a user's command: its environment must not lose a variable
# that happens to have the name of one of ours.
: "${otto_nonce?}"

otto_script=
while IFS= read -r otto_line; do
    [ "$otto_line" = "$otto_nonce" ] && break
    otto_script="$otto_script$otto_line
"
done
# A script that was cut off is not run.
[ "$otto_line" = "$otto_nonce" ] || exit 1
eval "$otto_script"
