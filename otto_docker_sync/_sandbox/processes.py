"""Starting and stopping daemons, and the processes of this machine as /proc shows them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


class SandboxError(Exception):
    """A part of the sandbox is missing on this machine, or did not start."""


def program(name: str, package: str) -> str:
    """The path of an installed program. Raises `SandboxError`, which names the Debian `package`, when it is missing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise SandboxError(f"no {name} on this machine: apt-get install {package}")
    return path


def start_daemon(argv: list[str], log: Path, environ: Mapping[str, str]) -> int:
    """Start a daemon and return its pid. It gets its own session, and none of our streams."""
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        argv[0],
        argv,
        environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def wait_ready(what: str, pid: int, ready: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    """Wait until `ready` returns True.

    Raises `SandboxError`, with the last lines of `log`, when the daemon dies or `seconds` pass.
    """
    end = time.monotonic() + seconds
    while not ready():
        if not alive(pid):
            reason = "ended at once"
        elif time.monotonic() > end:
            reason = f"was not ready after {seconds:.0f} s"
        else:
            time.sleep(0.02)
            continue
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SandboxError(f"{what} {reason}; its last lines:\n{tail}")


def stop_daemon(pid: int, seconds: float = 15) -> None:
    """Stop a daemon with SIGTERM, after `seconds` with SIGKILL, and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], seconds)[0]:
                break
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
        reap(pid)


def reap(pid: int) -> None:
    """Collect the exit status of an ended child, so that it does not stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # not our child


def alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not."""
    reap(pid)
    return stat_fields(pid)[0] not in ("", "Z", "X")


def stat_fields(pid: int | str) -> tuple[str, int]:
    """The state letter and the parent of a process; ("", 0) when it does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return "", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def pids() -> Iterable[int]:
    """All processes of this machine."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def owner(pid: int) -> int | None:
    """The user id that a process runs as; None when the process is gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def with_descendants(found: set[int]) -> set[int]:
    """These processes and all their descendants, without zombies and without the calling process."""
    parents = {pid: stat_fields(pid) for pid in pids()}
    everyone = {pid for pid in found if parents.get(pid, ("", 0))[0] not in ("", "Z", "X")}
    grown = True
    while grown:
        more = {pid for pid, (state, parent) in parents.items() if parent in everyone and state not in ("", "Z", "X")}
        grown = not more <= everyone
        everyone |= more
    return everyone - {os.getpid()}


def kill_all(find: Callable[[], set[int]], seconds: float = 10) -> None:
    """Kill the processes that `find` returns, until it returns none: a process may start another before it dies."""
    end = time.monotonic() + seconds
    while (found := find()) and time.monotonic() < end:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            reap(pid)
        time.sleep(0.02)
