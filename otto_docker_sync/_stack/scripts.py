"""The shell text that works on one stack at the parent. Under one lock, so that runs that share it take turns."""

from __future__ import annotations

PRELUDE = r"""
umask 077
p={project}; d="${{HOME:?}}/.cache/otto-docker/$p"; of=label=com.docker.compose; mine="$of.project=$p"
export COMPOSE_ANSI=never COMPOSE_PROGRESS=plain BUILDKIT_PROGRESS=plain DOCKER_CLI_HINTS=false
say() {{ printf '\n<%s> %s\n' {nonce} "$*"; }}
dock() {{ {docker} "$@" 8>&- 9>&-; }}
compose() {{ {compose} -p "$p" "$@" 8>&- 9>&-; }}
listed() {{ dock ps --no-trunc --filter "$mine" --filter label=com.docker.compose.oneoff=False "$@"; }}
replica() {{ f=$1; shift; listed --filter "$of.service=${{f%#*}}" --filter "$of.container-number=${{f#*#}}" "$@"; }}
shown() {{ echo; listed "$@" --format '<{nonce}> container {row}'; }}
held() {{ while :; do mkdir -p "$d" && exec 8>>"$d/lease" && flock -s 8 || exit
[ "$d/lease" -ef /proc/self/fd/8 ] && return; done; }}
locked() {{ while :; do mkdir -p "$d" && exec 9>>"$d/lock" && flock 9 || exit
[ "$d/lock" -ef /proc/self/fd/9 ] && break; done
say locked; }}
settle() {{ while sleep 1; left=$(dock ps -aq --filter "$mine"); [ -n "$left" ]; do dock rm -fv $left; done; }} >&2
teardown() {{
[ ! -f "$d/digest" ] || (. "$d/setup"; compose "$@" down -t {stop_timeout} --remove-orphans {volumes})
left=$(dock ps -aq --filter "$mine") || return
[ -z "$left" ] || {{ dock stop -t {stop_timeout} $left; dock rm -fv $left; }}
left=$(dock network ls -q --filter "$mine"); [ -z "$left" ] || dock network rm $left
left=; [ -z "{volumes}" ] || left=$(dock volume ls -q --filter "$mine"); [ -z "$left" ] || dock volume rm $left
left=$(dock ps -aq --filter "$mine"); [ -z "$left" ] || return 1
rm -f "$d/digest" "$d/kept"
exec 8>>"$d/lease"; if flock -n 8; then rm -rf "$d"; else rm -rf "$d/tree" "$d/setup" "$d/files"; fi || say left "$d"
}} >&2
"""
"""Functions and names for the scripts below. ``d`` is the private directory of the stack, on the parent.

In it: ``lock``, held by one script at a time; ``lease``, held shared by every run inside `composed`; ``kept``, there
when the stack is to outlive them; ``digest``, of the archive that was unpacked into ``tree``, ``setup`` and ``files``.
``settle`` is for a Compose that failed or was cut off: the daemon may still be creating what it was asked for last.
A kernel's lock ends with its holder, so nothing has to be cleaned up after a crash. A lock of a directory that was
removed meanwhile is worth nothing, hence the second look.
"""

REPLICA = '{{.Label "com.docker.compose.service"}}#{{.Label "com.docker.compose.container-number"}}'

ROW = "\\t".join(
    [
        "{{.ID}}",
        '{{.Label "com.docker.compose.project"}}',
        '{{.Label "com.docker.compose.service"}}',
        '{{.Label "com.docker.compose.container-number"}}',
        "{{.Names}}",
        "{{.Image}}",
        "{{.Status}}",
    ]
)

FIND_COMPOSE = r"""
dock ps -q >/dev/null || {{ say no-docker; exit 0; }}
if {docker} compose version >/dev/null 2>&1; then say compose 2
case $({docker} compose up --help 2>/dev/null) in *--pull*) say pull;; esac
elif {docker_compose} version >/dev/null 2>&1; then say compose 1
fi
"""

PREPARE = r"""
mkdir -p "$d" || exit
say place "$d"; say digest "$(cat "$d/digest" 2>/dev/null)"
"""

UP = r"""
locked
before=$(listed -q) || exit
[ -n "$before" ] || say fresh
if [ -n "{ensure}" ] && [ -n "$(replica "{ensure}" -q)" ]; then shown; exit 0; fi
if [ "$(cat "$d/digest" 2>/dev/null)" != {digest} ]; then
[ -f "$d"/{digest}.tgz ] || {{ say again; exit 0; }}
[ -z "$before" ] || [ -f "$d/digest" ] || : >"$d/kept"
rm -f "$d/digest"; [ ! -f "$d/files" ] || mv -f "$d/files" "$d/old"
tar -xzpof "$d"/{digest}.tgz -C "$d" || exit
[ ! -f "$d/old" ] || grep -Fvx -f "$d/files" "$d/old" | while IFS= read -r f; do rm -f -- "$d/$f"; done
rm -f "$d/old"; printf %s {digest} >"$d/digest"
fi
rm -f "$d"/{digest}.tgz
. "$d/setup"
compose "$@" up -d {options} || {{ say failed; [ -n "$before" ] || {{ settle; teardown; }} 2>/dev/null; exit 1; }}
running=$(listed --format '/{replica}/')
for f in {services}; do case $running in *"/$f/"*) continue;; esac; say lost "$f"
for c in $(replica "$f" -aq); do
say state "$(dock ps -a --filter id=$c --format '{{{{.Status}}}}')"; dock logs --tail {tail} $c 2>&1; done
[ -n "$before" ] || teardown 2>/dev/null; exit 0; done
{keep}
shown
"""

DOWN = r"""
locked
dock ps -q >/dev/null || exit
{settle}
teardown
"""

LEAVE = r"""
locked
[ ! -f "$d/kept" ] || {{ say kept; exit 0; }}
exec 8>>"$d/lease"; flock -n 8 || {{ say shared; exit 0; }}
dock ps -q >/dev/null || exit
{settle}
teardown
"""

LEASE = r"""
held
say held
while read -r line && [ "$line" != end ]; do :; done
"""

LOGS = r"""
[ -f "$d/digest" ] || {{ say down; exit 0; }}
. "$d/setup"
exec 3<&0 </dev/null
{compose} -p "$p" "$@" logs --no-color {options} 2>&1 3<&- & c=$!
{{ while read -r line && [ "$line" != end ]; do :; done; kill $c; }} <&3 >/dev/null 2>&1 & w=$!
wait $c; r=$?; kill $w; exit $r
"""
