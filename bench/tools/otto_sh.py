"""otto-sh, the asyncio framework whose container hosts this library has taken for its model."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.target import Target

from .base import Session, Tool, load

STAGE = Path("/tmp/otto-docker-stage")
"""Where it stages files on every parent."""

LIMIT = 300.0
"""Seconds for one command."""


class OttoShSession(Session):
    """A named session."""

    def __init__(self, tool: OttoSh, session: Any) -> None:
        self._tool = tool
        self._session = session

    def run(self, command: str) -> str:
        output: str = _checked(self._tool.wait(self._session.run(command, timeout=LIMIT))).value[0].value
        return output

    def wait_for(self, command: str, marker: str) -> None:
        self._tool.wait(self._session.send(f"{command}\n"))
        self._tool.wait(self._session.expect(marker, timeout=LIMIT))

    def close(self) -> None:
        self._tool.wait(self._session.close())


class OttoSh(Tool):
    """Its `DockerContainerHost` on its `UnixHost`, in an event loop of its own."""

    name = "otto-sh"
    package = "otto-sh"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self._docker_host = load("otto.host.docker_host").DockerContainerHost
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self._numbers = itertools.count()
        self._hosts: dict[str, Any] = {}
        self._parent = load("otto.host.unix_host").UnixHost(
            ip=target.host,
            creds=[load("otto.host.login_proxy").Cred(login=target.user, password="")],
            element=load("otto.host.element").Element("lab"),
            docker_capable=True,
            ssh_options=load("otto.host.options").SshOptions(
                port=target.port, client_keys=[target.identity_file], known_hosts=target.known_hosts
            ),
        )
        stack.callback(self._close)

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(coroutine)

    def _close(self) -> None:
        for host in self._hosts.values():
            self.wait(host.close())
        self.wait(self._parent.close())
        # It stays behind, and the next login, which is another user, could not write into it.
        shutil.rmtree(STAGE, ignore_errors=True)

    def host(self, container: str) -> Any:
        if container not in self._hosts:
            self._hosts[container] = self._docker_host(self._parent, container, "bench", container[:12], "")
        return self._hosts[container]

    def open_session(self, number: int = 0) -> Session:
        host = self.host(self.container_of(number))
        return OttoShSession(self, self.wait(host.open_session(f"s{next(self._numbers)}")))

    def oneshot(self, command: str) -> str:
        output: str = _checked(self.wait(self.host(self.target.container).exec(command, timeout=LIMIT))).value
        return output

    def put(self, sources: Sequence[Path], directory: str) -> None:
        host = self.host(self.target.container)
        _checked(self.wait(host.put(list(sources), Path(directory), show_progress=False, recursive=True)))

    def get(self, sources: Sequence[str], directory: Path) -> None:
        host = self.host(self.target.container)
        paths = [Path(source) for source in sources]
        _checked(self.wait(host.get(paths, directory, show_progress=False, recursive=True)))


def _checked(result: Any) -> Any:
    if result.status.value:
        raise OSError(f"{result.status}: {result.msg or result.value}")
    return result
