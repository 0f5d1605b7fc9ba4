#!/bin/sh
# Becomes the shell of a session, on a terminal. lease_check.sh stands in front of it.
: "${otto_columns?}" "${otto_rows?}" "${otto_begin_first?}" "${otto_begin_second?}" "${otto_shell?}"

command -v "$otto_shell" >/dev/null || {
    echo "exec: \"$otto_shell\": executable file not found"
    exit 127
}
stty -echo 2>/dev/null
# Docker gives a terminal its size late, or not at all.
stty columns "$otto_columns" rows "$otto_rows" 2>/dev/null
# The other side must not type before this: until then the terminals on the way are not raw, and act on what they get.
command printf '<%s%s>\n' "$otto_begin_first" "$otto_begin_second"
# The shell is for programs. An empty ENV keeps most shells from reading a start-up file, but not these.
case ${otto_shell##*/} in
bash) exec "$otto_shell" --norc --noprofile ;;
zsh) exec "$otto_shell" -f ;;
*ksh)
    # The empty ENV of a session stands for ~/.mkshrc there.
    export ENV=/dev/null
    exec "$otto_shell"
    ;;
yash) exec "$otto_shell" --norcfile --noprofile ;;
*) exec "$otto_shell" ;;
esac
