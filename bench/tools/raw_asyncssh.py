"""asyncssh, used as directly as can be."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

from bench.target import Target

from .base import Marker, Session, Tool, load


class AsyncSSHSession(Session):
    """A process on a terminal."""

    def __init__(self, tool: AsyncSSH, argv: list[str]) -> None:
        self._tool = tool
        connection = tool.connection
        self._process = tool.wait(connection.create_process(shlex.join(argv), term_type="dumb", encoding=None))

    def run(self, command: str) -> bytes:
        marker = Marker()
        output: bytes = self._tool.wait(self._run(f"{command}; {marker.command}\n".encode(), marker.shown.encode()))
        return output

    async def _run(self, line: bytes, end: bytes) -> bytes:
        self._process.stdin.write(line)
        pieces: list[bytes] = []
        tail = b""
        while end not in tail:
            piece = await self._process.stdout.read(1 << 16)
            if not piece:
                raise EOFError("the shell ended")
            pieces.append(piece)
            tail = tail[-len(end) :] + piece
        return b"".join(pieces)

    def close(self) -> None:
        self._process.stdin.write(b"exit\n")
        self._tool.wait(self._process.wait())


class AsyncSSH(Tool):
    """One connection, in an event loop of its own."""

    name = "raw asyncssh"
    package = "asyncssh"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        asyncssh = load("asyncssh")
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self.connection = self.wait(
            asyncssh.connect(
                target.host,
                port=target.port,
                username=target.user,
                client_keys=[target.identity_file],
                known_hosts=target.known_hosts,
                config=None,
            )
        )
        stack.callback(self._disconnect)

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(coroutine)

    def _disconnect(self) -> None:
        self.connection.close()
        self.wait(self.connection.wait_closed())

    def open_session(self, number: int = 0) -> Session:
        return AsyncSSHSession(self, self.docker_exec("-it", container=self.container_of(number)))

    def oneshot(self, command: str) -> bytes:
        text = shlex.join([*self.docker_exec("-i"), "-c", command])
        output: bytes = self.wait(self.connection.run(text, check=True, encoding=None, stdin=-3)).stdout
        return output
