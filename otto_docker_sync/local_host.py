"""This machine as a host."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ._channel.base import SIZE, Channel
from ._channel.local import LocalChannel, reap
from .deadline import Deadline, Timeout
from .host import Host

REAP_TIME = 1.0
"""Seconds that processes get to end when the host is closed."""


@dataclass(eq=False)
class LocalHost(Host):
    """The machine and user that this program runs as. Needs no connection; any thread may call any verb.

    ``id`` names it in results, labs and logs; ``docker_command`` is how its docker client is called for the containers
    that have it as their parent.

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

    def __post_init__(self) -> None:
        self.name = self.name or self.id
        self._init()

    def _open_channel(
        self,
        argv: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        tty: bool = False,
        deadline: Deadline,
        term: str = "dumb",
        size: tuple[int, int] = SIZE,
    ) -> Channel:
        deadline.check()
        return LocalChannel(argv, tty=tty, term=term, size=size, env=tags)

    def _login_argv(self) -> list[str]:
        return [os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "sh", "-l"]

    def _close_link(self) -> None:
        reap(Deadline.grace(REAP_TIME))
