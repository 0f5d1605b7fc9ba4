"""This library."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from bench.measure import NotAvailable
from bench.target import Target
from otto_docker_sync import ConfigError, DockerContainerHost, HostSession, SSHOptions, UnixHost

from .base import Session, Tool


class OurSession(Session):
    """A session of a container's host."""

    def __init__(self, session: HostSession) -> None:
        self._session = session

    def run(self, command: str) -> bytes:
        return self._session.run(command).check().output_bytes

    def wait_for(self, command: str, marker: str) -> None:
        self._session.sendline(command)
        self._session.expect(marker, timeout=120)

    def close(self) -> None:
        self._session.close()


class Ours(Tool):
    """`DockerContainerHost` on a `UnixHost`."""

    name = "otto-docker-sync"
    package = "otto-docker-sync"
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        ssh = SSHOptions(identity_file=target.identity_file, known_hosts=target.known_hosts)
        self.parent = stack.enter_context(UnixHost(target.host, target.user, id="parent", port=target.port, ssh=ssh))
        self._numbers = itertools.count()
        self._hosts: dict[str, DockerContainerHost] = {}

    def host(self, container: str) -> DockerContainerHost:
        """The host of a container."""
        if container not in self._hosts:
            host = self.parent.container(container, **self.options)
            self._hosts[container] = self.stack.enter_context(host)
        return self._hosts[container]

    def open_session(self, number: int = 0) -> Session:
        name = f"s{next(self._numbers)}"
        return OurSession(self.host(self.container_of(number)).open_session(name))

    def oneshot(self, command: str) -> bytes:
        return self.host(self.target.container).oneshot(command).check().output_bytes

    def put(self, sources: Sequence[Path], directory: str) -> None:
        self.host(self.target.container).put(sources, directory).check()

    def get(self, sources: Sequence[str], directory: Path) -> None:
        self.host(self.target.container).get(sources, directory).check()


class OursWarm(Ours):
    """The same, with shells that wait in the container."""

    options: ClassVar[dict[str, Any]] = {"warm": 2}

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        try:
            self.host(target.container)
        except ConfigError as error:
            raise NotAvailable(f"not available: {error}") from error
