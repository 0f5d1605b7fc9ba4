"""All connections to one host over SSH: opened when needed, shared by all callers, replaced when lost."""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import monotonic

import paramiko

from .._channel.base import Channel
from .._channel.proxy_command import CommandStream
from .._channel.tcp import NotReachedFromHost, Stream, dial_tcp
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError, ConnectionLost, OttoError
from ..limits import CONNECT_TIMEOUT, MAX_COMMAND, REFUSAL_TIME
from ..secret import Secret
from .auth import Credentials
from .channel import SessionChannel, SFTPChannel, SSHChannel, TunnelStream
from .config import Target, resolve
from .connect import Connection, Place, connect
from .keys import FileKey
from .options import SSHOptions
from .paramiko_errors import SFTP, SFTP_REFUSED, SFTP_START, map_error, refused_tunnel
from .pool import Pool
from .raw_channel import RawChannel
from .transport import Raw, Transport

_log = logging.getLogger("otto_docker_sync.ssh")
_NO_OPTIONS = SSHOptions()


class Connections(Pool):
    """The connections to one host. Any thread may use it.

    It owns its connections and, if the config file names a ProxyJump, those to the hosts on the way. It borrows `hop`.
    The first connection is made when one is needed: one thread connects, and the others wait for it.

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
        password: Secret = None,
        options: SSHOptions = _NO_OPTIONS,
        hop: Connections | None = None,
        _reached_from: tuple[str, ...] = (),
    ) -> None:
        _check_address(label, host, port)
        super().__init__(options.max_connections)
        self.label = label
        self.banner = ""
        """What the server said before the last login (Banner in its sshd_config), also when it was refused."""
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._options = options
        self._hop = hop
        self._reached_from = _reached_from
        self._own_hops: list[Connections] = []
        self._keys: dict[str, FileKey] = {}
        self._target: Target | None = None

    def connect(self, deadline: Deadline) -> None:
        """Make sure that there is a connection."""
        with self._in_time(deadline):
            self._release(self._reserve(deadline, tunnel=True))

    def open_channel(
        self,
        command: str,
        *,
        tty: bool = False,
        term: str = "dumb",
        size: tuple[int, int] = (80, 24),
        deadline: Deadline,
    ) -> Channel:
        """Start a command, or the user's login shell for "", and return when its channel is open.

        Raises `ConnectError` and its subclasses if there is no connection, or no free session, `DeadlineExpired` if the
        server does not answer in time on a connection that is open.
        """
        text = os.fsencode(command)
        if b"\0" in text:
            raise ConfigError(f"a command for {self.label} holds a NUL byte, which no program can take")
        if len(text) >= MAX_COMMAND:
            raise ConfigError(f"a command for {self.label} has {len(text)} bytes; send what is longer over stdin")
        place, raw = self._open_session(SessionChannel, deadline)
        channel = SSHChannel(raw, self.where, tty, lambda: self._release(place))
        with place.connection.transport.guard(raw):
            if tty:
                raw.request("pty-req", term, *size, 0, 0, b"")
            if text:
                raw.request("exec", text)
            else:
                raw.request("shell")
        return channel

    def set_hop(self, hop: Connections | None) -> None:
        """Close all connections; the next goes through `hop`, which is borrowed."""
        self.close()
        self._hop = hop

    def open_tunnel(self, host: str, port: int, deadline: Deadline) -> Stream:
        """Connect from this host to another one, and return the stream that carries that one's connection."""
        with self._in_time(deadline):
            return self._tunnel(host, port, deadline)

    def open_socket_tunnel(self, path: str, deadline: Deadline) -> Stream:
        """Connect from this host to a unix socket of its own, and return the stream to it.

        Raises `ConnectError` and its subclasses, as `open_tunnel` does.
        """
        with self._in_time(deadline):
            return self._open_tunnel(path, deadline, "direct-streamlocal@openssh.com", path, "", 0)

    def _tunnel(self, host: str, port: int, deadline: Deadline) -> Stream:
        # The address and port that the connection comes from are for the server's log only.
        return self._open_tunnel(f"{host}:{port}", deadline, "direct-tcpip", host, port, "127.0.0.1", 0)

    def _open_tunnel(self, to: str, deadline: Deadline, name: str, *fields: str | int) -> Stream:
        place = self._reserve(deadline, tunnel=True)
        transport = place.connection.transport

        def release() -> None:
            self._release(place)

        try:
            with transport.guard():
                raw = transport.open(RawChannel, deadline, name, *fields)
        except BaseException:
            release()
            raise
        if raw.active and not raw.closed:
            return TunnelStream(raw, self.label, release)
        release()
        raise refused_tunnel(self.where, to, raw.refusal, transport.why)

    @contextmanager
    def open_sftp(self, deadline: Deadline) -> Iterator[paramiko.SFTPClient]:
        """Open a file transfer for one thread. All its waits end with the deadline.

        An error about a file is an `OSError`. Raises `ConnectError` if the server has no SFTP, else `ConnectionLost` or
        `DeadlineExpired`.
        """
        place, raw = self._open_session(SFTPChannel, deadline)
        transport = place.connection.transport
        raw.deadline = deadline
        client = None
        try:
            with transport.guard(raw), deadline.waking(raw.close):
                raw.request("subsystem", "sftp")
                client = paramiko.SFTPClient(raw)
                client.logger = logging.getLogger("otto_docker_sync.paramiko")
                yield client
        except (TimeoutError, EOFError, OSError, paramiko.SSHException, paramiko.SFTPError) as error:
            channels = type(error) is TimeoutError or "Socket is closed" in error.args
            if isinstance(error, OttoError) or (isinstance(error, OSError) and not channels):
                raise  # about a file, or from the caller's own code
            if deadline.expired:
                raise DeadlineExpired("the file transfer did not end") from error
            if transport.link.ended:
                raise ConnectionLost(f"the connection to {self.where} was lost: {transport.why}") from error
            rules = SFTP_REFUSED if raw.request_refused else SFTP_START if client is None else SFTP
            raise map_error(rules, error, self.where, "SFTP ended") from error
        finally:
            with transport.guard(raw):
                raw.close()
            self._release(place)

    def describe(self) -> dict[str, object]:
        """Return facts about the connection for people, without secrets: server, cipher, login, sessions, the hop's."""
        self._check_process()
        with self._changed.lock:
            alive = [connection for connection in self._open if connection.alive]
            facts: dict[str, object] = {"host": self.where, "connections": len(alive)}
            if alive:
                first = alive[0]
                transport = first.transport
                facts |= {
                    "server": transport.remote_version,
                    "cipher": transport.remote_cipher,
                    "compression": transport.remote_compression,
                    "host_key": transport.host_key_type,
                    "host_key_policy": self._target and self._target.host_key_policy,
                    "login": f"{self._target.user if self._target else self._user} by {first.login}",
                    "sessions": sum(connection.sessions for connection in alive),
                    "sessions_per_connection": self.sessions_per_connection,
                }
            hop = self._hop or (self._own_hops[-1] if self._own_hops else None)
        if hop is not None:
            facts["hop"] = hop.describe()
        return facts

    def close(self) -> None:
        """Close all connections: calls on them end with an error. The next call connects again. Idempotent."""
        if os.getpid() != self._pid:
            return
        self._close()
        with self._changed.lock:
            hops, self._own_hops = self._own_hops, []
            self._target, self._keys = None, {}
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

    def _open_session(self, kind: type[Raw], deadline: Deadline) -> tuple[Place, Raw]:
        losses = 0
        while True:
            with self._in_time(deadline):
                place = self._reserve(deadline, takes_spare=kind is SessionChannel)
            connection = place.connection
            try:
                with connection.transport.guard():
                    raw = self._open_on(connection, kind, deadline)
            except BaseException:
                self._release(place)
                raise
            if raw.active and not raw.closed:
                connection.settling = 0
                return place, raw
            self._release(place, refused=raw.refusal)
            if raw.refusal is None:
                losses += 1  # the connection ended before anything was started: another one will do
                if losses == 3:
                    raise ConnectionLost(f"the connection to {self.where} was lost: {connection.transport.why}")

    def _open_on(self, connection: Connection, kind: type[Raw], deadline: Deadline) -> Raw:
        """Open a channel for a session that has its place on the connection. The spare one is open already, or soon.

        The next spare is asked for at once: while the caller's program runs, the answer has time to arrive.
        """
        transport = connection.transport
        if kind is not SessionChannel or "OpenSSH" not in transport.remote_version:
            # Of other servers nobody knows what they make of a channel in which nothing is started for long.
            return transport.open(kind, deadline)
        with self._changed.lock:
            raw = connection.spare
            if raw is not None and raw.refusal:
                connection.no_spare_until = monotonic() + REFUSAL_TIME
            wants_spare = self._has_room(connection) and monotonic() >= connection.no_spare_until
            # Known to other threads before it is asked for: they must take it, or there would be one session too many.
            connection.spare = spare = transport.new_channel(SessionChannel) if wants_spare else None
        try:
            if raw is not None:
                transport.request_open(raw)  # if the thread that wanted it did not come to that
                transport.await_open(raw, deadline)
            if raw is None or not raw.active or raw.closed or transport.link.hung_up:
                # Of a connection that has just ended this returns a channel that is closed: nothing is started on it.
                return transport.open(kind, deadline)
            return raw
        finally:
            if spare is not None:
                transport.request_open(spare)

    def _connect(self, started: Callable[[Transport], None], deadline: Deadline) -> Connection:
        target = self._target or self._resolve(deadline)
        self._target = target
        hop = self._hop or self._jump(target)
        where = self.where
        if hop is not None:
            where += f" through {hop.label}"
            target = replace(target, keyscan_on=hop._login_command(deadline))
        dial = partial(self._dial, target, hop, where)
        options = self._options
        credentials = Credentials(target, self._password, options.passphrase, options.answers, self._keys)
        try:
            connection = connect(target, where, credentials, dial, deadline, started)
        finally:
            self.banner = credentials.banner
        _log.info("connected to %s as %s by %s", where, target.user, connection.login)
        return connection

    def _login_command(self, deadline: Deadline) -> str:
        """The ``ssh`` command with which a person gets to this host, for advice in errors."""
        target = self._target = self._target or self._resolve(deadline)
        hop = self._hop or self._jump(target)
        words = ["ssh"]
        if hop is not None:
            words += ["-o", f"ProxyCommand={hop._login_command(deadline)} -W %h:%p"]
        if target.port != 22:
            words += ["-p", str(target.port)]
        if target.explicit_identity:
            words += ["-i", *target.identity_files[:1]]
        return shlex.join([*words, f"{target.user}@{target.host}"])

    def _resolve(self, deadline: Deadline) -> Target:
        limit = deadline.at_most(self._options.connect_timeout or CONNECT_TIMEOUT)
        return resolve(
            self._host, self._port, self._user, self._options, limit, prefer_file_identity=bool(self._reached_from)
        )

    def _dial(self, target: Target, hop: Connections | None, where: str, deadline: Deadline) -> Stream:
        """The bytes below one connection."""
        if hop is None and target.proxy_command:
            return CommandStream(target.proxy_command)
        if hop is None:
            return dial_tcp(
                target.host,
                target.port,
                where,
                deadline,
                user_timeout=target.keepalive_count * target.keepalive_interval,
                bind_address=target.bind_address,
                family=target.family,
            )
        try:
            return hop._tunnel(target.host, target.port, deadline)
        except DeadlineExpired as late:
            raise DeadlineExpired(f"its hop {hop.label} opened no tunnel ({late})") from None
        except NotReachedFromHost as error:
            raise ConnectError(
                f"{self.where} is not reached: {error}. Check host= and port= of {self.label}, and that its sshd runs."
            ) from error
        except (ConnectError, ConnectionLost) as error:
            kind = type(error) if isinstance(error, ConnectError) else ConnectError
            raise kind(f"{self.where} is not reached, because of its hop: {error}") from error

    def _jump(self, target: Target) -> Connections | None:
        """The connections to the last host of the ProxyJump, made on the first call."""
        if self._own_hops or not target.jumps:
            return self._own_hops[-1] if self._own_hops else None
        aliases = (*self._reached_from, self._host)
        hops: list[Connections] = []
        for jump in target.jumps:
            if jump.host in aliases:
                raise ConfigError(f"ProxyJump goes in a circle: {' -> '.join([*aliases, jump.host])}")
            hops.append(
                Connections(
                    jump.host,
                    jump.host,
                    port=jump.port,
                    user=jump.user,
                    options=self._options,
                    hop=hops[-1] if hops else None,
                    _reached_from=aliases,
                )
            )
        self._own_hops = hops
        return hops[-1]

    @contextmanager
    def _in_time(self, deadline: Deadline) -> Iterator[None]:
        """Turn a timeout while connecting into `ConnectError`: the host was not reached."""
        try:
            yield
        except DeadlineExpired as late:
            if deadline.cancelled:
                raise
            raise ConnectError(f"{self.where} was not reached in time: {late or 'no time was left'}") from None


def _check_address(label: str, host: str, port: int | None) -> None:
    if not host or host.startswith("-") or not host.isprintable() or " " in host:
        raise ConfigError(f"host={host!r} of {label} is not a name or an address")
    if "@" in host or "/" in host or re.fullmatch(r"[^:]+:\d+", host):
        raise ConfigError(f"host={host!r} of {label}: pass the name alone, the user as user= and the port as port=")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536):
        raise ConfigError(f"port={port!r} of {label} is not a number from 1 to 65535")
