"""A machine reached over SSH, or telnet."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from ._channel.backend import Backend, Program
from ._channel.base import NO_SESSION_STATUS, Channel
from ._channel.forward import SocketForward
from ._channel.tcp import Stream
from ._ssh import Connections, SSHOptions
from ._telnet import TelnetChannel, TelnetOptions
from .arguments import check_choice, check_port, check_text, parse_address
from .deadline import Deadline, Timeout
from .docker_host import ParentHost
from .errors import ConfigError, ConnectError, OttoError
from .limits import DIAL_TIME
from .logs import HostLog
from .secret import Secret, register_secret, reveal

ID_FORBIDDEN = frozenset(" \t\r\n\0/")


class MachineBackend(Backend):
    """What machines over SSH and over telnet have in common."""

    def __init__(self, id: str, shell: str, log: HostLog, docker_command: tuple[str, ...]) -> None:
        super().__init__(id, shell, log)
        self._docker_command = docker_command

    def login_argv(self) -> list[str]:
        return ["sh", "-c", 'exec "${SHELL:-sh}" -l']

    def docker_command(self) -> tuple[str, ...]:
        return self._docker_command or super().docker_command()


class SSHBackend(MachineBackend):
    """A machine over SSH. Owns its connections."""

    def __init__(
        self, id: str, shell: str, log: HostLog, docker_command: tuple[str, ...], connections: Connections
    ) -> None:
        super().__init__(id, shell, log, docker_command)
        self._connections = connections

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        command = _for_login_shell(program.prefix_env().argv)
        return self._connections.open_channel(
            command, tty=program.tty, term=program.term, size=program.size, deadline=deadline
        )

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        # A bash that cannot fork ends with the same status, but says so.
        if status != NO_SESSION_STATUS or (out + err).strip():
            return super().startup_error(out, err, status, deadline)
        return ConnectError(
            f"{self.id}: the login was accepted, but PAM on the machine refused it a session (status {status}); "
            "sshd's log there has the reason: see the rules for 'session' in /etc/pam.d/sshd"
        )

    def open_login(self, *, term: str, size: tuple[int, int], deadline: Deadline) -> Channel:
        return self._connections.open_channel("", tty=True, term=term, size=size, deadline=deadline)

    def connect_to(self, address: str, port: int, deadline: Deadline) -> Stream:
        return self._connections.open_tunnel(address, port, deadline)

    def connect_to_socket(self, path: str, deadline: Deadline) -> Stream:
        return self._connections.open_socket_tunnel(path, deadline)

    def set_hop(self, hop: Connections | None) -> None:
        self._connections.set_hop(hop)

    def container_sessions_refusal(self) -> str:
        return ""

    def file_fallback(self, deadline: Deadline) -> Any:
        from ._transfer import SFTPTransport

        return SFTPTransport(self._connections.open_sftp, deadline)

    def close(self) -> None:
        self._connections.close()


class TelnetBackend(MachineBackend):
    """A machine over telnet, with a connection and a login for each channel."""

    def __init__(
        self,
        id: str,
        shell: str,
        log: HostLog,
        docker_command: tuple[str, ...],
        *,
        host: str,
        port: int | None,
        user: str,
        password: Secret,
        options: TelnetOptions,
    ) -> None:
        super().__init__(id, shell, log, docker_command)
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._options = options
        self._hop: Connections | None = None

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        return TelnetChannel.open(
            self._host,
            self._port,
            self._user,
            reveal(self._password),
            self._options,
            program.prefix_env().argv,
            tty=program.tty,
            term=program.term,
            size=program.size,
            deadline=deadline,
            hop=self._hop,
        )

    def set_hop(self, hop: Connections | None) -> None:
        self._hop = hop

    def container_sessions_refusal(self) -> str:
        return f"a shell in a container needs a parent reached over SSH; its parent {self.id!r} is reached over telnet"


def _for_login_shell(argv: Sequence[str]) -> str:
    """Return the command line that starts `argv`, whatever shell the login has.

    csh takes neither a line end nor ``!`` in quotes, fish reads two backslashes in quotes as one. So a command line
    with such bytes goes as one word of octal numbers, which a ``sh`` decodes.
    """
    command = shlex.join(argv)
    if not set("\n!\\") & set(command):
        return command
    encoded = re.sub(r"[\\'!\n\r]", lambda special: f"\\0{ord(special[0]):03o}", f"exec {command}")
    return f"exec sh -c 'eval \"$(printf %b \"$1\")\"' sh '{encoded}'"


class UnixHost(ParentHost):
    """A lab machine. Over SSH it owns its connections, one where that is enough, opened when first needed.

    An explicit argument has priority over ``~/.ssh/config``.

    Args:
        host: A name, an address, or an alias of ``~/.ssh/config``; ``"me@lab-17:2222"`` holds user and port too.
        user: Whom to log in as; by default as ``~/.ssh/config`` has it, else this process's user.
        id: The key in a lab; by default the host in lower case.
        name: What people call it; by default the id.
        password: A string, or a function that returns it when it is needed.
        sudo_password: The same, for ``oneshot(user=)``: what sudo is given when it asks. None: sudo must not ask.
        port: By default as ``~/.ssh/config`` has it, else 22, or 23 over telnet.
        term: ``"ssh"`` or ``"telnet"``.
        hop: The `UnixHost` through which it is reached. Hops can have hops.
        ssh: Keys, host keys, limits: see `SSHOptions`.
        telnet: Prompts, encoding, limits: see `TelnetOptions`.
        docker_capable: Whether it runs a docker daemon; default True.
        docker_command: How the docker client is started there, such as ``("sudo", "-n", "docker")`` or ``("podman",)``.
        resources: Tags for reservations.
        log: False keeps its commands and their output out of every log.
        log_stdout: False keeps them off stdout only.
        shell: The POSIX shell that runs commands; default ``"sh"``.
        default_timeout: Seconds for ``run`` and ``oneshot`` without a timeout of their own; None waits forever.

    Raises `ConfigError` for an argument that is not valid. Contacts nothing.

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
        sudo_password: Secret = None,
    ) -> None:
        address = parse_address("host", host)
        where = f"UnixHost({host!r}): "
        for argument, value in (("user", user), ("id", id), ("name", name)):
            if value is not None:
                check_text(f"{where}{argument}", value)
        if port is not None:
            check_port(f"{where}port", port)
        check_choice(f"{where}term", term, ("ssh", "telnet"))
        if isinstance(docker_command, str) or not docker_command or not all(docker_command):
            raise ConfigError(f"{where}docker_command={docker_command!r}: pass a tuple: ('docker',)")
        for argument, inside, given in (("user", address.user, user), ("port", address.port, port)):
            if inside is not None and given is not None and inside != given:
                raise ConfigError(f"{where}{argument}={given!r} differs from the one in the address: pass one of them")
        user, port = user or address.user, port or address.port
        host = address.host
        self.host = host
        self.user = user
        self.port = port
        self.id = (id or host).lower()
        if ID_FORBIDDEN & set(self.id):
            raise ConfigError(f"{where}id={self.id!r}: an id has no spaces and no slash")
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
        secret = register_secret(password)
        host_log = HostLog(self.id, log, log_stdout)
        client = self.docker_command if docker_capable else ()
        self._machine: SSHBackend | TelnetBackend
        if term == "ssh":
            self.connections = Connections(self.id, host, port=port, user=user, password=secret, options=self.ssh)
            self._machine = SSHBackend(self.id, shell, host_log, client, self.connections)
        else:
            self._machine = TelnetBackend(
                self.id,
                shell,
                host_log,
                client,
                host=host,
                port=port,
                user=user or os.environ.get("USER", "root"),
                password=secret,
                options=self.telnet,
            )
        self._machine.sudo_password = register_secret(sudo_password)
        self._hop: UnixHost | None = None
        self.hop = hop
        self._init(self._machine)

    @property
    def kind(self) -> str:  # type: ignore[override]  # a variable of the class elsewhere
        """ssh or telnet."""
        return self.term

    @property
    def description(self) -> str:
        """Its user, address and port, and the hop that leads to it."""
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        hop = f" via {self.hop.id}" if self.hop else ""
        return f"{user}{self.host}{port}{hop}"

    @property
    def reached_through(self) -> UnixHost | None:
        """Its hop."""
        return self._hop

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
                raise ConfigError(f"{self.id}: hop={on_the_way!r}: pass a UnixHost")
            if on_the_way.term != "ssh":
                raise ConfigError(f"{self.id}: hop={on_the_way.id}: a hop must be reached over SSH")
            chain.append(on_the_way.id)
            if on_the_way is self:
                raise ConfigError(f"{self.id}: its hops go in a circle: {' -> '.join(chain)}")
            on_the_way = on_the_way.hop
        self._hop = hop
        self._machine.set_hop(hop.connections if hop else None)

    def forward_socket(self, path: str | os.PathLike[str]) -> SocketForward:
        """Open a local unix socket that leads to one of this machine, such as that of its docker daemon.

        The local socket has mode 0600, in a directory with mode 0700. It ends with `close` of it or of the host.

        Args:
            path: The socket on this machine, an absolute path.

        Raises `ConfigError` for a path that is not valid, `ConnectError` and its subclasses when no connection can be
        made, `UnsupportedParentError` over telnet.

        >>> with lab1.forward_socket("/var/run/docker.sock") as forward:
        ...     subprocess.run(["docker", "-H", forward.docker_host, "ps"])
        """
        remote = os.fspath(path)
        if not isinstance(remote, str) or not remote.startswith("/") or "\0" in remote:
            raise ConfigError(f"{self.id}: path={path!r}: pass the absolute path of a socket on the machine")
        backend = self.backend
        with self.runner.call(self.runner.deadline(None)) as deadline:
            backend.connect_to_socket(remote, deadline.at_most(DIAL_TIME)).close()
        return self._forwards.open_socket(remote, lambda deadline: backend.connect_to_socket(remote, deadline))
