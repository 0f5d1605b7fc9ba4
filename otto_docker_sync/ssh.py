"""All connections to one host over SSH: opened when needed, shared by everybody, replaced when lost."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import TypeVar

import paramiko

from .channel import Channel
from .deadline import Deadline, DeadlineExpired
from .errors import ConfigError, ConnectError, ConnectionLost, ForkError, OttoError
from .ssh_channel import SessionChannel, SFTPChannel, SSHChannel, TunnelStream
from .ssh_config import SSHOptions, Target, identity_of, resolve
from .ssh_connect import Connection, Dial, connect, dial_command, dial_tcp
from .ssh_link import RawChannel, Stream, Transport

__all__ = ["Connections", "SSHOptions"]

MAX_SESSIONS = 10
"""Sessions on one connection, as OpenSSH's MaxSessions has it. Fewer, once the server has refused one."""
MAX_COMMAND = 128 << 10
"""Bytes of a command: Linux takes no longer argument, and sshd drops the whole connection at 256 KiB."""

_IDLE_LIMIT = 10.0
_SETTLING_TIME = 1.0
_FULL_FOR = 5.0
_CLOSED = "it was closed by close()"

_log = logging.getLogger("otto_docker_sync.ssh")
_Raw = TypeVar("_Raw", bound=RawChannel)


class Connections:
    """The connections to one host, safe to use from any thread.

    It owns its connections and, where the config file names a ProxyJump, those to the hosts on the way. It borrows
    `hop`. The first connection is made when one is needed; one thread connects and the others wait for it.

    >>> Connections("carrot", "192.0.2.10", user="tester")
    <Connections to carrot (192.0.2.10), not connected>
    """

    def __init__(
        self,
        label: str,
        host: str,
        *,
        port: int | None = None,
        user: str | None = None,
        password: str | None = None,
        options: SSHOptions = SSHOptions(),
        hop: Connections | None = None,
        _behind: tuple[str, ...] = (),
    ) -> None:
        if not host or host.startswith("-") or any(character.isspace() or not character.isprintable() for character in host):
            raise ConfigError(f"host={host!r} of {label}: give a name or an address")
        if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536):
            raise ConfigError(f"port={port!r} of {label}: give a number from 1 to 65535")
        self.label = label
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._options = options
        self._hop = hop
        self._behind = _behind
        self._own_hops: list[Connections] = []
        self._changed = threading.Condition()
        self._open: list[Connection] = []
        self._target: Target | None = None
        self._attempt = 0
        self._connecting: Transport | bool = False
        self._failure: tuple[int, ConnectError] | None = None
        self._limit = MAX_SESSIONS
        self._no_more_until = 0.0
        self._generation = 0
        self._pid = os.getpid()

    def connect(self, deadline: Deadline) -> None:
        """Make sure that there is a connection."""
        with self._in_time(deadline):
            self._release(self._reserve(deadline, tunnel=True), tunnel=True)

    def open_channel(
        self,
        command: str,
        *,
        tty: bool = False,
        term: str = "dumb",
        size: tuple[int, int] = (80, 24),
        deadline: Deadline,
    ) -> Channel:
        """Start a command, or for "" the user's login shell, and return once its channel is open.

        Raises `ConnectError` and its kin when there is no connection or no session to be had, `DeadlineExpired` when
        the deadline ends while an open connection is waited for.
        """
        text = os.fsencode(command)
        if b"\0" in text:
            raise ConfigError(f"a command for {self.label} holds a NUL byte, which no program can be given")
        if len(text) >= MAX_COMMAND:
            raise ConfigError(f"a command for {self.label} has {len(text)} bytes; send what is longer over stdin")
        connection, raw = self._open_session(SessionChannel, deadline)
        if tty:
            raw.request("pty-req", term, *size, 0, 0, b"")
        if text:
            raw.request("exec", text)
        else:
            raw.request("shell")
        return SSHChannel(raw, self.where, tty, lambda: self._release(connection))

    def open_tunnel(self, host: str, port: int, deadline: Deadline) -> Stream:
        """Connect from this host to another; the stream that carries that one's SSH connection."""
        with self._in_time(deadline):
            connection = self._reserve(deadline, tunnel=True)
        release = lambda: self._release(connection, tunnel=True)  # noqa: E731  # needed twice below
        try:
            raw = connection.transport.open(RawChannel, deadline, (host, port))
        except BaseException:
            release()
            raise
        if raw.active and not raw.closed:
            return TunnelStream(raw, self.label, release)
        release()
        code, text = raw.refusal or (0, connection.transport.why)
        if code == 1:
            text = f"forwarding is not allowed ({text}): AllowTcpForwarding or PermitOpen in its sshd_config"
        raise ConnectError(f"{self.where} cannot connect on to {host}:{port}: {text}")

    @contextmanager
    def open_sftp(self, deadline: Deadline) -> Iterator[paramiko.SFTPClient]:
        """A file transfer of its own, not to be shared: all its waits end with the deadline.

        Errors of files are `OSError`; raises `ConnectError` where the server has no SFTP, else `ConnectionLost` or
        `DeadlineExpired`.
        """
        connection, raw = self._open_session(SFTPChannel, deadline)
        raw.deadline = deadline
        client = None
        try:
            with deadline.waking(raw.close):
                raw.request("subsystem", "sftp")
                client = paramiko.SFTPClient(raw)
                client.logger = logging.getLogger("otto_docker_sync.paramiko")
                yield client
        except (TimeoutError, EOFError, OSError, paramiko.SSHException, paramiko.SFTPError) as error:
            ours = not isinstance(error, (OttoError, OSError)) or type(error) is TimeoutError or "Socket is closed" in error.args
            if not ours:
                raise
            if deadline.expired:
                raise DeadlineExpired("the file transfer did not end") from error
            if connection.transport.link.ended:
                raise ConnectionLost(f"the connection to {self.where} was lost: {connection.transport.why}") from error
            if client is None and isinstance(error, paramiko.SFTPError):
                raise ConnectError(
                    f"{self.where} does not speak SFTP: {error}. A start-up file of its shell may print something."
                ) from error
            if client is None:
                raise ConnectError(f"{self.where} has no SFTP: its sshd_config has no Subsystem sftp") from error
            raise ConnectionLost(f"the file transfer with {self.where} broke off: {error or 'SFTP ended'}") from error
        finally:
            raw.close()
            self._release(connection)

    def describe(self) -> dict[str, object]:
        """Facts about the connection for people, without secrets: server, cipher, login, sessions, and the hop's."""
        with self._changed:
            facts: dict[str, object] = {"host": self.where, "connections": len(self._open)}
            if self._open:
                first = self._open[0]
                transport = first.transport
                facts |= {
                    "server": transport.remote_version,
                    "cipher": transport.remote_cipher,
                    "host_key": transport.host_key_type,
                    "login": f"{self._target.user if self._target else self._user} by {first.login}",
                    "sessions": sum(connection.sessions for connection in self._open),
                    "sessions_per_connection": self._limit,
                }
            hop = self._hop or (self._own_hops[-1] if self._own_hops else None)
        if hop is not None:
            facts["hop"] = hop.describe()
        return facts

    def close(self) -> None:
        """Close all connections: calls on them end, and say so. The next call connects anew."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._generation += 1
            ending = [connection.transport for connection in self._open]
            if isinstance(self._connecting, Transport):
                self._connecting.link.end(_CLOSED)
            hops, self._own_hops = self._own_hops, []
            self._open, self._target = [], None
            self._changed.notify_all()
        for transport in ending:
            transport.link.end(_CLOSED)
        for transport in ending:
            transport.finish(_CLOSED)
        for hop in reversed(hops):
            hop.close()

    @property
    def where(self) -> str:
        """The host as errors name it."""
        target = self._target
        address = f"{target.host}:{target.port}" if target else self._host
        return address if self.label == self._host and not target else f"{self.label} ({address})"

    def __repr__(self) -> str:
        count = len(self._open)
        state = "not connected" if not count else "1 connection" if count == 1 else f"{count} connections"
        return f"<Connections to {self.where}, {state}>"

    # one session of one connection

    def _open_session(self, kind: type[_Raw], deadline: Deadline) -> tuple[Connection, _Raw]:
        losses = 0
        while True:
            with self._in_time(deadline):
                connection = self._reserve(deadline)
            try:
                raw = connection.transport.open(kind, deadline)
            except BaseException:
                self._release(connection)
                raise
            if raw.active and not raw.closed:
                with self._changed:
                    connection.settling = 0
                return connection, raw
            self._release(connection, refused=raw.refusal)
            if raw.refusal is None:
                losses += 1  # nothing was started yet: a new connection will do
                if losses == 3:
                    raise ConnectionLost(f"the connection to {self.where} was lost: {connection.transport.why}")

    def _reserve(self, deadline: Deadline, tunnel: bool = False) -> Connection:
        """A connection with room for one more session, or for a tunnel."""
        self._check_process()
        with self._changed:
            mine = self._attempt if self._connecting else self._attempt + 1
        while True:
            with self._changed:
                self._open = [connection for connection in self._open if connection.alive]
                for connection in self._open:
                    if tunnel or self._room(connection):
                        connection.tunnels += tunnel
                        connection.sessions += not tunnel
                        return connection
                if self._failure and self._failure[0] >= mine and not self._open:
                    raise type(self._failure[1])(str(self._failure[1])) from self._failure[1]
                if not self._may_grow():
                    self._wait(deadline)
                    continue
                self._connecting = True
                self._attempt += 1
                attempt, generation = self._attempt, self._generation
            self._grow(attempt, generation, deadline)

    def _room(self, connection: Connection) -> bool:
        if connection.full_at is not None and monotonic() >= connection.full_until:
            connection.full_at = None
        return connection.sessions < (self._limit if connection.full_at is None else min(self._limit, connection.full_at))

    def _may_grow(self) -> bool:
        now = monotonic()
        return not (
            self._connecting
            or len(self._open) >= self._options.max_connections
            or (self._open and now < self._no_more_until)
            or any(connection.settling and now < connection.full_until for connection in self._open)
        )

    def _wait(self, deadline: Deadline) -> None:
        """Wait until something changes. Holds the lock."""
        if deadline.expired:
            if deadline.cancelled or not self._open or self._connecting:
                raise DeadlineExpired("another thread still connects")
            sessions = sum(connection.sessions for connection in self._open)
            raise ConnectError(
                f"{self.where} has no session free: {sessions} are in use on {len(self._open)} connections, with at most"
                f" {self._limit} each and max_connections={self._options.max_connections}."
                " Close some, give more time, or raise max_connections or the server's MaxSessions."
            )
        now = monotonic()
        moments = [self._no_more_until, *(connection.full_until for connection in self._open)]
        soon = [moment - now for moment in moments if moment > now]
        remaining = deadline.remaining()
        with deadline.waking(self._wake):
            self._changed.wait(min([*soon, remaining] if remaining is not None else soon, default=None))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _release(
        self, connection: Connection, *, tunnel: bool = False, refused: tuple[int, str] | None = None
    ) -> None:
        with self._changed:
            connection.tunnels -= tunnel
            connection.sessions -= not tunnel
            now = monotonic()
            if refused:
                self._learn(connection, *refused, now)
            elif not tunnel:
                connection.closed_at = now
            connection.idle_since = now
            self._changed.notify_all()

    def _learn(self, connection: Connection, code: int, text: str, now: float) -> None:
        """Draw the conclusion from a session that was refused. Holds the lock."""
        if code == 1:
            raise ConnectError(f"{self.where} refuses sessions: {text}")
        connection.full_at = connection.sessions
        if connection.closed_at and now - connection.closed_at < _SETTLING_TIME:
            # The server lets go of a session a little after its end: try again soon.
            connection.settling += 1
            connection.full_until = now + min(0.005 * 2**connection.settling, 0.2)
            return
        connection.settling = 0
        connection.full_until = now + _FULL_FOR
        if connection.closed_at:
            return  # sessions whose processes have not ended may still count there
        if not connection.sessions:
            raise ConnectError(f"{self.where} allows no sessions: {text}. Is MaxSessions 0 in its sshd_config?")
        self._limit = min(self._limit, connection.sessions)
        _log.debug("%s takes %d sessions on one connection", self.where, self._limit)

    # connecting

    def _grow(self, attempt: int, generation: int, deadline: Deadline) -> None:
        """Open one more connection, and tell the threads that wait for it how that ended."""
        connection = None
        try:
            connection = self._connect(deadline)
        except ConnectError as error:
            with self._changed:
                self._failure = attempt, error
                self._no_more_until = monotonic() + _FULL_FOR
                if not any(other.alive for other in self._open):
                    raise
                _log.warning("%s: no further connection for now: %s", self.where, error)
        finally:
            with self._changed:
                self._connecting = False
                if connection is not None and generation == self._generation:
                    self._open.append(connection)
                    self._failure = None
                self._changed.notify_all()
        if connection is not None and generation != self._generation:
            connection.transport.finish(_CLOSED)
            raise ConnectError(f"{self.where} was closed while it was connecting")

    def _connect(self, deadline: Deadline) -> Connection:
        target = self._target or resolve(self._host, self._port, self._user, self._options)
        self._target = target
        hop = self._hop or self._jump(target)
        where = self.where
        dial: Dial
        if hop is not None:
            where += f" through {hop.label}"

            def dial(deadline: Deadline) -> Stream:
                try:
                    return hop.open_tunnel(target.host, target.port, deadline)
                except DeadlineExpired as late:
                    raise DeadlineExpired(f"its hop {hop.label} opened no tunnel ({late})") from None
                except (ConnectError, ConnectionLost) as error:
                    kind = type(error) if isinstance(error, ConnectError) else ConnectError
                    raise kind(f"{self.where} is not reached, because of its hop: {error}") from error

        elif target.proxy_command:
            command = target.proxy_command

            def dial(deadline: Deadline) -> Stream:
                return dial_command(command)

        else:

            def dial(deadline: Deadline) -> Stream:
                return dial_tcp(target.host, target.port, where, deadline)

        def started(transport: Transport) -> None:
            with self._changed:
                self._connecting = transport

        connection = connect(target, where, self._password, self._options, dial, deadline, started)
        connection.transport.link.idle = _Idle(weakref.ref(self), connection)
        _log.info("connected to %s as %s by %s", where, target.user, connection.login)
        return connection

    def _jump(self, target: Target) -> Connections | None:
        """The connections to the last host of the ProxyJump, made on the first call."""
        if self._own_hops or not target.jumps:
            return self._own_hops[-1] if self._own_hops else None
        behind = (*self._behind, self._host)
        hop = None
        for jump in target.jumps:
            if jump.host in behind:
                raise ConfigError(f"ProxyJump goes in a circle: {' -> '.join([*behind, jump.host])}")
            options = self._options
            if identity_of(jump.host, options):
                options = replace(options, identity_file=None)
            hop = Connections(
                jump.host, jump.host, port=jump.port, user=jump.user, options=options, hop=hop, _behind=behind
            )
            self._own_hops.append(hop)
        return hop

    def _retire(self, connection: Connection) -> bool:
        """Whether a connection that hears nothing is to end: one in surplus that nobody used for a while."""
        if not connection.unused or monotonic() - connection.idle_since < _IDLE_LIMIT:
            return False
        with self._changed:
            if not connection.unused or connection not in self._open or connection is self._open[0]:
                return False
            self._open.remove(connection)
            return True

    @contextmanager
    def _in_time(self, deadline: Deadline) -> Iterator[None]:
        """Tell of a time-out while connecting as what it is: the host was not reached."""
        try:
            yield
        except DeadlineExpired as late:
            if deadline.cancelled:
                raise
            raise ConnectError(f"{self.where} was not reached in time: {late or 'no time was left'}") from None

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkError(
                f"{self.where} is connected in the process that was forked; in this one, make a host of its own"
            )


class _Idle:
    """Tells a link that nobody needs it any more; also when its owner has just been dropped."""

    def __init__(self, owner: weakref.ref[Connections], connection: Connection) -> None:
        self._owner = owner
        self._connection = connection

    def __call__(self) -> bool:
        owner = self._owner()
        if owner is None:
            return self._connection.unused
        return owner._retire(self._connection)
