"""Many sessions at once, from as many threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import paramiko

from .jobs import Job
from .measure import Meter, Sample
from .target import Target
from .tools import OttoSh, RawParamiko, Session, Tool
from .tools.base import check_output
from .tools.raw_paramiko import RawSession, connect

COMMANDS = 20
"""In each session."""
TIME_LIMIT = 300.0
"""Seconds for all of it, where a tool has no limit of its own."""


class ManyConnections(RawParamiko):
    """Raw Paramiko, with a further connection for each ten sessions: a stock sshd takes no more on one."""

    name = "raw Paramiko, 10 sessions on a connection"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self._connecting = threading.Lock()
        self._transports: list[paramiko.Transport] = []
        self._numbers = itertools.count()

    def open_session(self, number: int = 0) -> Session:
        # One connection after the other: a stock sshd drops some of those that come at once (MaxStartups).
        with self._connecting:
            if next(self._numbers) % 10 == 0:
                self._transports.append(connect(self.target))
                self.stack.callback(self._transports[-1].close)
            transport = self._transports[-1]
        return RawSession(transport, self.docker_exec("-it", container=self.container_of(number)))


def crowd(sessions: int) -> Job:
    """So many sessions from as many threads: open each, run commands, close it. Every answer is checked."""

    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:  # noqa: ARG001
        def sample(meter: Meter) -> None:
            with ExitStack() as own:
                opened = tool(target, own)
                with meter:
                    if isinstance(opened, OttoSh):
                        _use_from_event_loop(opened, sessions)
                    else:
                        _use_from_threads(opened, sessions)

        return sample

    return get_ready


def _use_from_threads(tool: Tool, sessions: int) -> None:
    def use(number: int) -> None:
        session = tool.open_session(number)
        for command in range(COMMANDS):
            check_output(session.run(f"echo answer {number} {command}."), f"answer {number} {command}.")
        session.close()

    with ThreadPoolExecutor(sessions) as pool:
        for outcome in [pool.submit(use, number) for number in range(1, sessions + 1)]:
            outcome.result()


def _use_from_event_loop(tool: OttoSh, sessions: int) -> None:
    async def use(number: int) -> None:
        session = await tool.host(tool.container_of(number)).open_session(f"crowd{number}")
        for command in range(COMMANDS):
            result = await session.run(f"echo answer {number} {command}.")
            check_output(result.value[0].value, f"answer {number} {command}.")
        await session.close()

    async def use_all() -> None:
        await asyncio.wait_for(asyncio.gather(*map(use, range(1, sessions + 1))), TIME_LIMIT)

    tool.wait(use_all())
