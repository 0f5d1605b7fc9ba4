"""The shell text that moves files at the far end: POSIX shell, and a few tools, which it looks for before it begins.

A script travels over stdin, with all names in it as quoted literals; what follows it on stdin is its lease, or its
data. What it has to say are lines that begin with its nonce; the bytes of files stand between these.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

STAGE = ".otto-docker."
"""How the name of a staging directory begins, beside the files that it is to replace."""

COMMON = r"""
LC_ALL=C; export LC_ALL; unset CDPATH; umask 077; trap 'exit 1' HUP INT TERM PIPE
say() (
    set -f; word=$1; shift; set -- $*
    printf '\n%s %s %s\n' "$n" "$word" "$*"
)
spell() {
    case $1 in
    '~') p=$HOME;;
    '~/'*) p=$HOME/${1#??};;
    /*) p=$1;;
    *) p=./$1;;
    esac
}
say here
"""
"""``say WORD TEXT`` is a message; ``spell PATH`` sets $p to the path as no program takes it for an option."""

RECEIVE = r"""
merge() (
    from=$1 to=$2 do=$3; set --
    for f in "$from"/* "$from"/.[!.]* "$from"/..?*; do
        [ -e "$f" ] || [ -L "$f" ] || continue
        t=$to/${f##*/}
        [ -w "$to" ] || { printf 'no permission to write in %s' "$to"; exit 1; }
        folder=; [ -L "$f" ] || [ ! -d "$f" ] || folder=1
        if [ -d "$t" ] && [ ! -L "$t" ]; then
            [ "$folder" ] || { printf '%s is a directory there' "$t"; exit 1; }
            merge "$f" "$t" $do || exit 1
            continue
        fi
        [ -z "$folder" ] || [ -L "$t" ] || [ ! -e "$t" ] || { printf '%s is no directory there' "$t"; exit 1; }
        [ $do = move ] || continue
        [ ! -L "$t" ] || { [ -z "$folder" ] && [ ! -d "$t" ]; } || rm -f "$t"
        if [ "$folder" ] && [ ! -w "$f" ]; then
            chmod u+w "$f" && mv -f "$f" "$t" && chmod u-w "$t" || exit 1
        else
            set -- "$@" "$f"
            [ $# -lt 200 ] || { mv -f "$@" "$to/" || exit 1; set --; }
        fi
    done
    [ $# = 0 ] || mv -f "$@" "$to/"
)
clean() {
    rm -rf "$stage" 2>/dev/null || { chmod -R u+rwx "$stage"; rm -rf "$stage"; } 2>/dev/null
}
can() {
    for tool; do command -v "$tool" >/dev/null 2>&1 || return 1; done
}
spell "$dest"; stage=./$prefix$n
cd -P -- "$p" 2>/dev/null || {
    if [ -d "$p" ]; then say nowhere 'no permission to enter the destination'
    elif [ -e "$p" ]; then say nowhere 'the destination is not a directory'
    else say nowhere 'there is no such directory'; fi
    exit
}
how=bare; can mkdir mv rm && how=courier && can tar && how=tar
if [ $how != tar ]; then
    while read -r field _ id _; do
        case $field in Uid:) uid=$id;; Gid:) gid=$id;; esac
    done </proc/self/status
    say owner "$uid" "$gid"; pwd -P
fi
if [ $how != bare ]; then
    e=$(mkdir "$stage" 2>&1) || { say nowhere "the destination cannot be written to: $e"; exit; }
    trap clean EXIT; umask 0
fi
say $how; [ $how != bare ] || exit
read -r how || exit
case $how in
courier) ;;
tar) e=$(tar "-x${options}f" - -C "$stage" 2>&1) || { say failed "$e"; exit; };;
esac
for d in "$stage"/*/; do
    d=${d%/}; i=${d##*/}
    { read -r size <"$d/size"; } 2>/dev/null || { say failed 'the data ended early'; exit; }
    if sizes=$(find "$d/data" -type f -exec stat -c %s '{}' + 2>/dev/null); then
        there=0; for s in $sizes; do there=$((there+s)); done
        [ "$there" = "$size" ] || { say bad "$i" "$there bytes arrived in place of $size"; continue; }
    fi
    e=$({ merge "$d/data" . look && merge "$d/data" . move; } 2>&1) && say ok "$i" || say bad "$i" "$e"
done
say done
"""
"""Receive sources into $dest: as a tar stream, or as a courier brings them, in a staging directory beside them.

Every source is a numbered directory of the stage: ``data`` holds it, ``size`` tells the bytes of its files, and comes
last. ``merge FROM TO look|move`` moves it into place: directories into those of the same name, all else in place of
what is there; links are replaced, never followed.
"""

LEASE = r"""
exec 3<&0 </dev/null 4>&1
{ while read -r line; do :; done; kill -TERM 0; } <&3 >/dev/null 2>&1 4>&- &
watcher=$!
exec 3<&-
release() { trap '' TERM; [ -z "$watcher" ] || { kill -9 $watcher; wait $watcher; watcher=; } 2>/dev/null; }
trap release EXIT
"""
"""The end of stdin ends the whole process group; a subshell waits for its child all the same, since process 1 may
collect no orphans. 4 is stdout from here on."""

SEND = r"""
can() { command -v "$1" >/dev/null 2>&1; }
send() {
    i=$1; spell "$2"
    if [ -d "$p" ]; then
        q=$(cd -P -- "$p" && pwd -P)
        case $q/ in
        /proc/*|/sys/*) say bad "$i" 'the kernel makes this tree up: get its files one by one'; return;;
        esac
        can tar || { say away "$i"; printf %s "$q"; return; }
        say tree "$i"
        e=$({ trap : TERM; cd -P -- "$p" && tar -cf - . >&4; } 2>&1)
    elif [ -f "$p" ]; then
        can cat || { q=$(cd -P -- "${p%/*}/" && pwd -P); say away "$i"; printf '%s/%s' "${q%/}" "${p##*/}"; return; }
        case $(readlink -f "$p") in
        /proc/*|/sys/*) about='- - -';;
        *) about=$(stat -Lc '%a %s %Y' "$p" || stat -Lf '%Lp %z %m' "$p" || echo - - -);;
        esac 2>/dev/null
        say file "$i" "$about"
        e=$(trap : TERM; cat "$p" 2>&1 >&4)
    elif [ -e "$p" ]; then say bad "$i" 'this is neither a file nor a directory'; return
    elif [ -L "$p" ]; then say bad "$i" 'this is a link to nothing'; return
    else say bad "$i" 'there is no such file or directory'; return; fi
    say end "$i" $? "$e"
}
"""
"""``send NUMBER PATH`` sends one source: a tree as a tar stream, a file as it is, since the size of files of the kernel
is not known before they are read. Where the tool is missing, it says where the source is, links resolved."""

STAGE_IN = r"""
stage=${TMPDIR:-/tmp}/otto-docker.$n
e=$(mkdir "$stage" 2>&1) || { say failed "$e"; exit; }
trap 'rm -rf "$stage"' EXIT
say ready
e=$(head -c "$size" 2>&1 >"$stage/tar")
[ "$(wc -c <"$stage/tar")" -eq "$size" ] || { say failed "staging on the parent: ${e:-the data ended early}"; exit; }
e=$(docker_ cp - "$dest" 2>&1 >/dev/null <"$stage/tar") && say done || say failed "$e"
"""
"""On the parent: stage $size bytes of a tar stream, then give them to ``docker cp``."""

STAGE_OUT = r"""
stage=${TMPDIR:-/tmp}/otto-docker.$n
e=$(mkdir "$stage" 2>&1) || { say failed "$e"; exit; }
trap 'release; rm -rf "$stage"' EXIT
send() {
    e=$(docker_ cp -L "$2" - 2>&1 >"$stage/tar"); status=$?
    say tree "$1"; cat "$stage/tar"; say end "$1" $status "$e"
}
"""
"""On the parent: as `SEND`, by ``docker cp`` into a stage, since its stream would lock ``docker exec`` out."""


def receive_script(nonce: str, destination: str, options: str) -> str:
    """Take sources into the directory `destination`; `options` are tar's own."""
    return _script(nonce, RECEIVE, dest=destination, prefix=STAGE, options=options)


def send_script(nonce: str, sources: Iterable[tuple[int, str]]) -> str:
    """Send numbered sources."""
    return _script(nonce, LEASE + SEND) + _sending(sources)


def stage_in_script(nonce: str, docker: Sequence[str], destination: str, size: int) -> str:
    """Take `size` bytes of tar stream for ``docker cp`` to `destination` (``container:path``)."""
    return _script(nonce, _docker(docker) + STAGE_IN, dest=destination, size=str(size))


def stage_out_script(nonce: str, docker: Sequence[str], sources: Iterable[tuple[int, str]]) -> str:
    """Send numbered sources (``container:path``)."""
    return _script(nonce, LEASE + _docker(docker) + STAGE_OUT) + _sending(sources)


def inspect_script(nonce: str, docker: Sequence[str], container: str) -> str:
    """Send what docker knows of a container, as JSON."""
    show = f"e=$(docker_ inspect --type container -f '{{{{json .}}}}' {shlex.quote(container)} 2>&1 >&4)"
    return _script(nonce, LEASE + _docker(docker)) + f'say facts\n{show}\nsay end 0 $? "$e"\n'


def _script(nonce: str, body: str, **values: str) -> str:
    head = "".join(f"{name}={shlex.quote(value)}\n" for name, value in {"n": nonce, **values}.items())
    return head + COMMON + body


def _sending(sources: Iterable[tuple[int, str]]) -> str:
    return "".join(f"send {number} {shlex.quote(path)}\n" for number, path in sources) + "release; say done\n"


def _docker(command: Sequence[str]) -> str:
    return f'docker_() {{ {" ".join(map(shlex.quote, command))} "$@"; }}\n'
