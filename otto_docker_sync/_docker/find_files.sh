#!/bin/sh
# Print the files that a pattern names, each closed by a NUL.
: "${otto_pattern?}"
# Without separators the pattern is one word, whatever is in it, and still a pattern.
IFS=
# shellcheck disable=SC2231
for otto_file in $otto_pattern; do
    [ -f "$otto_file" ] && printf '%s\0' "$otto_file"
done
exit 0
