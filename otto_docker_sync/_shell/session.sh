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
# The shell is for programs: no start-up file, which an empty ENV keeps only some shells from reading, and no line editor,
# which takes what is typed while it gets ready, and echoes.
case ${otto_shell##*/} in
bash) exec "$otto_shell" --norc --noprofile --noediting ;;
zsh) exec "$otto_shell" -f +Z ;;
*ksh)
    # In mksh, the empty ENV stands for ~/.mkshrc.
    export ENV=/dev/null
    exec "$otto_shell" +o emacs +o vi
    ;;
yash) exec "$otto_shell" --norcfile --noprofile +o emacs +o vi ;;
*) exec "$otto_shell" ;;
esac
