#!/bin/sh
# update.sh DIRECTORY AS_ROOT: bring its tree to the state of new/tree. Run again as root where containers have taken
# files over.
#
# Files that are there keep their inodes, because a container to which a single file was bound sees no other one. What
# did not change is not touched, and what containers wrote stays.
cd "$1" || exit
owner=
# The owner of the directory, who is our login, as this root sees it: that of a rootless client has ids of its own.
# shellcheck disable=SC2012
[ -z "$2" ] || owner=$(ls -ldn . | { read -r _ _ user group _ && echo "$user:$group"; })
status=0

# Names are kept with \ for a backslash and \n for a line end.
decode() {
    name=$(printf '%b.' "${1#* }")
    name=${name%.}
}

own() {
    [ -z "$owner" ] || chown -h "$owner" "$name"
}

make_directory() {
    if [ ! -d "$name" ] || [ -L "$name" ]; then
        rm -rf "$name" && mkdir "$name" && own || return
    fi
    chmod "$mode" "$name"
}

make_file() {
    if [ -f "$name" ] && [ ! -L "$name" ] && [ ! -L "new/$name" ]; then
        cat "new/$name" >"$name" && chmod "$mode" "$name"
    else
        rm -rf "$name" && cp -pP "new/$name" "$name" && own
    fi
}

cut -d ' ' -f 2- new/files >new/names
cut -d ' ' -f 2- files | grep -Fvx -f new/names | LC_ALL=C sort -r >new/gone
while IFS= read -r line; do
    decode "x $line"
    if [ -d "$name" ] && [ ! -L "$name" ]; then
        # A directory stays when containers wrote into it.
        rmdir "$name" 2>/dev/null
    else
        rm -f "$name" || status=1
    fi
done <new/gone
[ "$status" = 0 ] || exit

grep -Fvx -f files new/files >new/changed
# From here on, what is about to change is not known to be right.
grep -Fx -f new/files files >new/same
cp new/same files || exit
while IFS= read -r line; do
    decode "$line"
    kind=${line%% *}
    mode=${kind%%:*}
    mode=${mode#?}
    case $kind in
    d*) make_directory || status=1 ;;
    *) make_file || status=1 ;;
    esac
done <new/changed
exit $status
