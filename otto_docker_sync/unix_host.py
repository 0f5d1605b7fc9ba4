"""A machine reached over SSH, or telnet."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ._channel.base import SIZE, Channel
from ._ssh import Connections, SSHOptions
from ._telnet import TelnetChannel, TelnetOptions
from .deadline import Deadline, Timeout
from .errors import ConfigError
from .host import Host
from .secret import Secret, register_secret, reveal

ID_FORBIDDEN = frozenset(" \t\r\n\0/")


class UnixHost(Host):
    """A lab machine. Over SSH it owns its connections, one where that is enough, opened when first needed.

    `host` is a name, an address, or an alias of ``~/.ssh/config``; `id` is the key in a lab (default: `host` in lower
    case), `name` what people call it. `hop` is the `UnixHost` through which it is reached. `docker_command` starts the
    docker client there: ``("sudo", "-n", "docker")`` or ``("podman",)`` will do. An explicit argument beats
    ``~/.ssh/config``.

    >>> with UnixHost("192.0.2.10", "tester", hop=UnixHost("gateway.example")) as carrot:
    ...     print(carrot.run("uname -a").output)
    """

    def __init__(
        self,
        host: str,
        user: str | None = None,
        *,
        id: str | None = None,
        name: str | None = None,
        password: Secret = None,
        port: int | None = None,
        term: str = "ssh",
        hop: UnixHost | None = None,
        ssh: SSHOptions | None = None,
        telnet: TelnetOptions | None = None,
        docker_capable: bool = True,
        docker_command: Sequence[str] = ("docker",),
        resources: Iterable[str] = (),
        log: bool = True,
        log_stdout: bool = True,
        shell: str = "sh",
        default_timeout: Timeout = None,
    ) -> None:
        if not isinstance(host, str) or not host.strip() or host.startswith("-"):
            raise ConfigError(f"UnixHost({host!r}): give a host name or an address")
        if term not in ("ssh", "telnet"):
            raise ConfigError(f"UnixHost({host!r}): term={term!r}: give 'ssh' or 'telnet'")
        if isinstance(docker_command, str) or not docker_command or not all(docker_command):
            raise ConfigError(f"UnixHost({host!r}): docker_command={docker_command!r}: give a tuple: ('docker',)")
        if port is not None and not 0 < port < 65536:
            raise ConfigError(f"UnixHost({host!r}): port={port!r}: give a number from 1 to 65535")
        self.host = host
        self.user = user
        self.port = port
        self.id = (id or host).lower()
        if ID_FORBIDDEN & set(self.id):
            raise ConfigError(f"UnixHost({host!r}): id={self.id!r}: an id has no spaces and no slash")
        self.name = name or self.id
        self.term = term
        self.ssh = ssh or SSHOptions()
        self.telnet = telnet or TelnetOptions()
        self.docker_capable = docker_capable
        self.docker_command = tuple(docker_command)
        self.resources = set(resources)
        self.log, self.log_stdout = log, log_stdout
        self.shell = shell
        self.default_timeout = default_timeout
        self._password = register_secret(password)
        self._connections = Connections(self.id, host, port=port, user=user, password=password, options=self.ssh)
        self._hop: UnixHost | None = None
        self.hop = hop
        self._init()

    def __repr__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"<UnixHost {self.id} {self.term} {user}{self.host}{port}>"

    @property
    def hop(self) -> UnixHost | None:
        """The host through which this one is reached. Setting it closes the connections; the next call goes that way.

        Raises `ConfigError` for a hop that is reached through this host, or not over SSH.

        >>> UnixHost("192.0.2.10", hop=UnixHost("gateway.example")).hop.id
        'gateway.example'
        """
        return self._hop

    @hop.setter
    def hop(self, hop: UnixHost | None) -> None:
        chain = [self.id]
        on_the_way = hop
        while on_the_way is not None:
            if not isinstance(on_the_way, UnixHost):
                raise ConfigError(f"{self.id}: hop={on_the_way!r}: give a UnixHost")
            if on_the_way.term != "ssh":
                raise ConfigError(f"{self.id}: hop={on_the_way.id}: a hop must be reached over SSH")
            chain.append(on_the_way.id)
            if on_the_way is self:
                raise ConfigError(f"{self.id}: its hops go in a circle: {' -> '.join(chain)}")
            on_the_way = on_the_way.hop
        self._hop = hop
        self._connections.set_hop(hop._connections if hop else None)

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
        if tags:
            argv = ["env", *(f"{name}={value}" for name, value in tags.items()), *argv]
        if self.term == "telnet":
            return TelnetChannel.open(
                self.host,
                self.port,
                self.user or os.environ.get("USER", "root"),
                reveal(self._password),
                self.telnet,
                argv,
                tty=tty,
                term=term,
                size=size,
                deadline=deadline,
                hop=self._hop._connections if self._hop else None,
            )
        return self._connections.open_channel(shlex.join(argv), tty=tty, term=term, size=size, deadline=deadline)

    def _login_argv(self) -> list[str]:
        return ["sh", "-c", 'exec "${SHELL:-sh}" -l']

    def _close_link(self) -> None:
        self._connections.close()
