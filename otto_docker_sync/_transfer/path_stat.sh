#!/bin/sh
# Prints what the file system knows of a path: mode in hexadecimal, inode, device, links, user, group, size, three times;
# and the three times again, with their fractions.
#
# follow  L, or empty for the link itself
. ./path.sh
: "${follow?}"

has stat || fail 'missing stat'
set -- ${follow:+-"$follow"}
answer=$(stat "$@" -c '%f %i %d %h %u %g %s %X %Y %Z|%x|%y|%z' "$operand" 2>&1) || {
    error=$answer
    # That of the BSDs and of macOS.
    answer=$(stat "$@" -f '%Xp %i %d %l %u %g %z %a %m %c' "$operand" 2>/dev/null) || fail "$error"
}
printf %s "$answer"
