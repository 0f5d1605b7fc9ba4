#!/bin/sh
# Runs the script that comes on stdin up to a line that is the nonce; the rest of stdin belongs to that script.
#
# In front of the script comes a comment, the nonce and a carriage return. A terminal turns that into a line end: then
# something has put one between us and the client, and would change the script. Nothing is run there.
#
# The names of variables are long because the script may be a user's command: its environment must not lose a variable
# that happens to have the name of one of ours.
: "${otto_nonce?}"

otto_refuse() {
    echo "<$otto_nonce:$1>"
    exit 1
}

otto_script=
while IFS= read -r otto_line; do
    case $otto_line in
    "$otto_nonce") break ;;
    "#$otto_nonce") otto_refuse terminal ;;
    *) otto_script="$otto_script$otto_line
" ;;
    esac
done
# A script that was cut off is not run.
if [ "$otto_line" != "$otto_nonce" ]; then
    [ -n "$otto_script" ] || otto_refuse stdin
    exit 1
fi
eval "$otto_script"
