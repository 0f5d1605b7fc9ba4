"""This machine as a host."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass, field

from ._channel.backend import Backend, Program
from ._channel.base import Channel
from ._channel.descriptors import explain_no_descriptors
from ._channel.local import LocalChannel, reap
from ._channel.tcp import Stream, dial_tcp
from .deadline import Deadline, Timeout
from .docker_host import ParentHost
from .limits import REAP_TIME
from .logs import HostLog


class LocalBackend(Backend):
    """Programs of this machine. Needs no connection."""

    def __init__(self, id: str, shell: str, log: HostLog, docker_command: tuple[str, ...]) -> None:
        super().__init__(id, shell, log)
        self._docker_command = docker_command

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        deadline.check()
        with explain_no_descriptors(f"{self.id}: no program can be started"):
            return LocalChannel(
                program.argv, tty=program.tty, term=program.term, size=program.size, env=program.marker_env
            )

    def connect_to(self, address: str, port: int, deadline: Deadline) -> Stream:
        return dial_tcp(address, port, f"{address}:{port}", deadline, daemon="server")

    def login_argv(self) -> list[str]:
        return [os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "sh", "-l"]

    def container_sessions_refusal(self) -> str:
        return f"a shell in a container needs a parent reached over SSH; its parent {self.id!r} is this machine"

    def docker_command(self) -> tuple[str, ...]:
        return self._docker_command or super().docker_command()

    def close(self) -> None:
        reap(Deadline.grace(REAP_TIME))


@dataclass(eq=False, repr=False)
class LocalHost(ParentHost):
    """The machine and user that this program runs as. Needs no connection; any thread may call any verb.

    Args:
        id: Names it in results, labs and logs; `name` is what people call it.
        shell: The shell of its commands.
        log: False keeps its commands and output out of every log, `log_stdout` False off stdout.
        resources: Reservation tags.
        docker_command: How its docker client is called for the containers that have it as their parent.
        default_timeout: Seconds, for commands without a ``timeout``; None is no limit.
        docker_capable: False refuses to be a parent of containers.

    >>> with LocalHost() as here:
    ...     here.run("cd /tmp && pwd").output
    '/tmp\\n'
    """

    id: str = "local"
    name: str = ""
    shell: str = "sh"
    log: bool = True
    log_stdout: bool = True
    resources: set[str] = field(default_factory=set)
    docker_command: Sequence[str] = ("docker",)
    default_timeout: Timeout = None
    docker_capable: bool = True

    is_virtual = False
    kind = "local"

    @property
    def description(self) -> str:
        """This machine."""
        return "this machine"

    def __post_init__(self) -> None:
        self.name = self.name or self.id
        log = HostLog(self.id, self.log, self.log_stdout)
        docker_command = tuple(self.docker_command) if self.docker_capable else ()
        self._init(LocalBackend(self.id, self.shell, log, docker_command))
