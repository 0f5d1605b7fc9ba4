"""The shell text that runs at the far end. Built-ins and /proc only: many containers have no ``ps`` and no ``kill``."""

from __future__ import annotations

from .._channel.markers import BeginMarker

REAP = r"""
reap() { [ -n "$1" ] || return 1
local_needle=$1 local_sid=$2 local_since=$3 local_keep=$4 local_born=0 local_round=0
if [ -n "$5" ] && { read -r line <"/proc/$5/stat"; } 2>/dev/null; then set -- ${line##*) }; local_born=${20}; fi
while [ $local_round -lt 12 ]; do local_round=$((local_round+1)); found=' ' sids=' ' grown=1 group=
if [ -n "$local_keep" ] && { read -r line <"/proc/$local_keep/stat"; } 2>/dev/null; then set -- ${line##*) }
[ "$6" = "$3" ] || [ "$6" -le 1 ] || group=$6; fi
while [ $grown = 1 ]; do grown=0; for dir in /proc/[0-9]*; do pid=${dir#/proc/}
case "$found 1 $$ $self $local_keep " in *" $pid "*) continue;; esac
{ read -r line <"$dir/stat"; } 2>/dev/null || continue
set -- ${line##*) }; case $1 in Z|X) continue;; esac; hit=
case $sids in *" $4 "*) hit=1;; esac; case $found in *" $2 "*) hit=1;; esac
[ -n "$group" ] && [ "$3" = "$group" ] && hit=1
[ -n "$local_sid" ] && { [ "$4" = "$local_sid" ] || [ "$2" = "$local_sid" ] || [ "$pid" = "$local_sid" ]; } &&
[ "${20}" -ge "$local_since" ] && hit=1
[ "$hit" ] || [ "${20}" -lt "$local_born" ] || while read -r line || [ "$line" ]; do
case $line in *"$local_needle"*) hit=1; break;; esac
done 2>/dev/null <"$dir/environ"
[ "$hit" ] || continue; found="$found$pid " grown=1; [ "$4" = "$pid" ] && sids="$sids$pid "; done; done 2>/dev/null
[ "$found" = ' ' ] && return 0; for pid in $found; do kill -9 "$pid" 2>/dev/null; done; done; return 1; }
"""
"""``reap NEEDLE SID SINCE KEEP OLDEST`` kills until a look at /proc finds nothing more: every process with NEEDLE in
its environment, or that belongs to the session SID and started at SINCE (clock ticks) or later, or is the foreground
of the shell KEEP's terminal, and all that descends from these. KEEP itself, process 1 and the caller are spared.
Environments are read of processes no older than the process OLDEST: on a busy machine, that is what takes time."""

WARDEN = (
    # An answer that nobody reads any more must not end it before it has done its work.
    "self=$$; trap '' HUP INT PIPE TERM"
    + REAP
    + r"""
now() { { read -r up line </proc/uptime; } 2>/dev/null || up=9999999999.0; up=${up%.*}${up#*.}; }
while read -r id verb tag sid since; do
case $verb in
run) reap "$tag" "$sid" "$since" "$sid" "$sid"; answer=$?;;
shell) reap "$tag" "$sid" 0 '' "$sid"; answer=$?;;
end) break;;
*) now; answer=$up;; esac
printf '<%s:%s>\n' "$id" "$answer"
done
exec 9<&-
reap "$1" '' 0 '' "$$"
reap "$1" '' 0 '' "$$"
printf '<%s:%s>\n' "$id" "$?"
"""
)
"""A lease on a host's shells: takes orders on stdin, answers each, and when its stdin ends, ends all that carries $1.

Orders: ``ID run TAG SID SINCE`` ends what one command left, ``ID shell TAG SID`` a shell and all of it, ``ID now``
nothing: it answers with the clock ticks since the machine's start, which is what SINCE is given in. ``ID end`` ends the
lease as the end of stdin does. At that, who is looked for twice: the environment of a process cannot be seen while it
becomes another program, as a session's shell does."""

LOADER = """n=%s; s=
while IFS= read -r l; do [ "$l" = "$n" ] && break; s="$s$l
"; done; eval "$s\""""


def loader(nonce: str) -> str:
    """For ``sh -c``: run the script that comes on stdin up to a line that is `nonce`; the rest of stdin is its own."""
    return LOADER % nonce


def started_warden(begin: BeginMarker) -> str:
    """For ``sh -c``: say, with the process id behind, that there is a lease; then be the `WARDEN`."""
    return f"exec 9<&0; {begin.command}; printf '<%s>' $$\n{WARDEN}"


def leased(warden: int) -> str:
    """For ``sh -c``: leave, unless the warden with that process id holds a lease, or nobody may look at it.

    While there is a lease, its descriptor 9 is open. So a shell that passes is there before the lease ends, and is
    found then; one that docker starts later does not pass.
    """
    it = f"/proc/{warden}"
    unseen = f"[ ! -d /proc/$$ ] || {{ [ -d {it} ] && [ ! -e {it}/fd/0 ]; }}"
    return f"[ -e {it}/fd/9 ] || {unseen} || {{ echo 'no lease: its warden, process {warden}, is gone'; exit 0; }}"


def sized(columns: int, rows: int) -> str:
    """The shell text that gives the terminal its size: docker, and who starts its client, do so late, or not at all."""
    return f"stty columns {columns} rows {rows} 2>/dev/null"


def started_shell(lease: str, size: tuple[int, int], begin: BeginMarker, shell: str) -> str:
    """For ``sh -c`` on a tty: say that the terminal is there and raw on the way, then become the session's shell."""
    return f"{lease}; stty -echo 2>/dev/null; {sized(*size)}; {begin.command}; exec {shell}"


def oneshot_script(nonce: str, begin: BeginMarker, end: str, command: bytes, environment: str, merged: bool) -> bytes:
    """What goes to the `loader` of a oneshot: the wrapper, then the command, each closed by the nonce's line.

    Held open behind it, stdin is the lease: when it ends, the watcher kills the command's whole tree. The wrapper is
    stopped first, or it would take the death of its child for the end and kill the watcher; and until it has stopped,
    a child that it just starts could be overlooked. What the wrapper's own shell has to say goes nowhere.
    """
    streams = "4" if merged else "4 5"
    wrapper = f"""{REAP}
s= c= i=0; while IFS= read -r l; do [ "$l" = "$n" ] && break
c="$c$l
"; i=$((i+1)); [ $i -lt 200 ] || {{ s="$s$c" c= i=0; }}; done; s="$s$c"
exec 3<&0 </dev/null 4>&1 5>&{1 if merged else 2} 2>/dev/null
{{ while read -r l <&3; do :; done; read -r self l </proc/self/stat
kill -STOP $$; i=0; while [ $i -lt 9999 ] && read -r l </proc/$$/stat; do
case ${{l##*)}} in ' T '*) break;; esac; i=$((i+1)); done
reap "OTTO_TAG=$n" "$$" 0 '' "$$"; kill -9 $$; }} >/dev/null 4>&- 5>&- &
w=$!
exec 3<&-
for f in {streams}; do {begin.command} >&$f; done
(exec 2>&5 4>&- 5>&-; {environment}unset n c i l f w; eval "unset s; $s"); r=$?
kill -9 $w; wait $w
for f in {streams}; do printf '<%s:%d>' {end} $r >&$f; done
exit $r
"""
    mark = f"{nonce}\n".encode()
    return wrapper.encode("utf-8", "surrogateescape") + mark + command + b"\n" + mark
