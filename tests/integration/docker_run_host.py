"""A kind of host that the library does not have, in one module: a container of its own for each host."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence

from otto_docker_sync._channel.backend import Backend, Program
from otto_docker_sync._channel.base import Channel
from otto_docker_sync._shell.capture import Capture
from otto_docker_sync._shell.oneshot import run_oneshot
from otto_docker_sync.deadline import Deadline
from otto_docker_sync.errors import ConnectError
from otto_docker_sync.host import Host
from otto_docker_sync.logs import HostLog

REMOVE_TIME = 10.0
"""Time limit, in seconds, for removing the container."""


class DockerRunBackend(Backend):
    """A container that ``docker run`` starts with the first program, and that ends with `close`."""

    def __init__(self, id: str, shell: str, parent: Backend, run_args: Sequence[str]) -> None:
        super().__init__(id, shell, HostLog(id))
        self._parent = parent
        self._run_args = run_args
        self._lock = threading.Lock()
        self._container = ""

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        with self._lock:
            if not self._container:
                self._container = self._docker("run", "--detach", "--rm", *self._run_args, deadline=deadline)
            container = self._container
        options = [option for item in program.marker_env.items() for option in ("--env", "=".join(item))]
        terminal = "-it" if program.tty else "-i"
        command = program.prefix(*self._parent.docker_command(), "exec", terminal, *options, container)
        return self._parent.open_channel(command, deadline)

    def sessions_refusal(self) -> str:
        return self._parent.container_sessions_refusal()

    def close(self) -> None:
        with self._lock:
            container, self._container = self._container, ""
        if container:
            self._docker("rm", "--force", container, deadline=Deadline.grace(REMOVE_TIME))

    def _docker(self, *args: str, deadline: Deadline) -> str:
        capture = Capture(None, lambda _: None)
        outcome = run_oneshot(self._parent, shlex.join([*self._parent.docker_command(), *args]), deadline, capture)
        if outcome.retcode != 0:
            raise ConnectError(f"{self.id}: docker {args[0]}: {outcome.message or capture.output.text()}")
        return capture.output.text().strip()


class DockerRunHost(Host):
    """The verbs on a container of its own on `parent`; `run_args` are those of ``docker run``."""

    def __init__(self, parent: Host, *run_args: str) -> None:
        self.id = self.name = f"{parent.id}.run"
        self.shell = "sh"
        self.log = self.log_stdout = True
        self.resources = set()
        self.default_timeout = None
        self._init(DockerRunBackend(self.id, self.shell, parent.backend, run_args))
