"""plumbum, which drives OpenSSH's client."""

from __future__ import annotations

import shlex
from contextlib import ExitStack

from bench.target import Target

from .base import Session, Tool, load
from .openssh import OpenSSH, options


class PlumbumSession(Session):
    """plumbum's `ShellSession`."""

    def __init__(self, session: object) -> None:
        self._session = session

    def run(self, command: str) -> str:
        _, output, _ = self._session.run(command)  # type: ignore[attr-defined]
        text: str = output
        return text

    def close(self) -> None:
        self._session.close()  # type: ignore[attr-defined]


class Plumbum(Tool):
    """`SshMachine`, over a connection that stays open (ControlMaster)."""

    name = "plumbum"
    package = "plumbum"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        plumbum = load("plumbum")
        self._sessions = load("plumbum.machines.session")
        mux = OpenSSH(target, stack)
        ssh_options = [*options(target), "-S", mux.control]
        self._machine = stack.enter_context(plumbum.SshMachine(target.host, ssh_opts=ssh_options))

    def open_session(self, number: int = 0) -> Session:
        argv = self.docker_exec("-i", container=self.container_of(number))
        process = self._machine.popen(shlex.join(argv))
        return PlumbumSession(self._sessions.ShellSession(process, encoding="utf-8"))

    def oneshot(self, command: str) -> str:
        argv = [*self.docker_exec("-i"), "-c", command]
        output: str = self._machine[argv[0]][argv[1:]]()
        return output
