"""What a session costs in memory: of this process, and of the parent.

The sessions are opened in a process of their own, ``python -m bench.memory TOOL SESSIONS``, which is given the target
on its stdin. It says how much it has grown, and keeps the sessions open until it is told to go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from otto_docker_sync._sandbox.processes import with_descendants

from .crowd import ManyConnections
from .jobs import Job
from .measure import Meter, Sample
from .target import Target
from .tools import Ours, Tool
from .tools.base import check_output

TOOLS: dict[str, type[Tool]] = {tool.__name__: tool for tool in (Ours, ManyConnections)}
MEGABYTE = 1 << 20


def memory(sessions: int, *, of_parent: bool) -> Job:
    """Megabytes that one session takes, of this process or of the parent's programs for it (not of the container)."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:  # noqa: ARG001
        def sample(meter: Meter) -> None:
            before = memory_of(with_descendants({target.sshd_pid}))
            with subprocess.Popen(
                [sys.executable, "-m", "bench.memory", tool.__name__, str(sessions)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as child:
                assert child.stdin is not None and child.stdout is not None
                child.stdin.write(json.dumps(target.as_dict()) + "\n")
                child.stdin.flush()
                grown = float(child.stdout.readline())
                if of_parent:
                    grown = (memory_of(with_descendants({target.sshd_pid})) - before) / sessions
                child.stdin.close()
            meter.value = grown / MEGABYTE

        return sample

    return get_ready


def memory_of(pids: Iterable[int]) -> int:
    """The bytes that processes take; what several share counts once."""
    total = 0
    for pid in pids:
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # gone
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) * 1024
    return total


def main(name: str, sessions: int) -> None:
    target = Target(**json.loads(sys.stdin.readline()))
    with ExitStack() as stack:
        tool = TOOLS[name](target, stack)
        _open(tool, stack, 1)  # what the first of all sessions needs is not what each takes
        before = memory_of([os.getpid()])
        _open(tool, stack, sessions)
        print((memory_of([os.getpid()]) - before) / sessions, flush=True)
        sys.stdin.read()


def _open(tool: Tool, stack: ExitStack, count: int) -> None:
    for _ in range(count):
        session = tool.open_session()
        stack.callback(session.close)
        check_output(session.run("echo it works"), "it works")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
