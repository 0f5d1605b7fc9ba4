"""Making one SSH connection: TCP, tunnel or proxy command below, key exchange, host key, authentication."""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import threading
from collections.abc import Callable
from time import monotonic

from .deadline import Deadline, DeadlineExpired
from .errors import ConnectError, HostKeyError
from .secret import Secret
from .ssh_auth import Credentials, Disconnected, check_host_key, prefer_known_keys
from .ssh_config import SSHOptions, Target
from .ssh_link import Link, SocketStream, Stream
from .ssh_transport import Transport

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")

Dial = Callable[[Deadline], Stream]


class Connection:
    """One authenticated connection, and what its pool keeps in mind of it."""

    def __init__(self, transport: Transport, login: str) -> None:
        self.transport = transport
        self.login = login
        """The key or password that the server took."""
        self.sessions = 0
        self.tunnels = 0
        self.full_at: int | None = None
        """Sessions at which the server refused one, until `full_until`."""
        self.full_until = 0.0
        self.settling = 0
        """Refusals in a row that may come from sessions which the server has not let go yet."""
        self.closed_at = 0.0
        """When a session was closed last; 0 is never."""
        self.idle_since = monotonic()

    @property
    def alive(self) -> bool:
        return not self.transport.link.ended and bool(self.transport.active)

    @property
    def unused(self) -> bool:
        return not self.sessions and not self.tunnels


class _Refused(Exception):
    """The server closed the connection before it said a word, as it does beyond MaxStartups."""


def connect(
    target: Target,
    where: str,
    password: Secret,
    options: SSHOptions,
    dial: Dial,
    deadline: Deadline,
    started: Callable[[Transport], None],
) -> Connection:
    """Connect and log in. `started` is told of each transport, so that somebody else can end it.

    Raises `ConnectError` and its kin, or `DeadlineExpired` (with what was waited for) when `deadline` is the earlier.
    """
    limit = deadline.at_most(target.connect_timeout)
    credentials = Credentials(target, password, options)
    attempts = 0
    try:
        while True:
            attempts += 1
            try:
                return _attempt(target, where, credentials, dial, limit, started)
            except Disconnected:
                continue
            except _Refused as refusal:
                _pause(random.uniform(0.5, 1.5) * min(0.05 * 2**attempts, 1.0), limit, where, refusal, attempts)
    except DeadlineExpired as late:
        if deadline.expired:
            raise
        raise ConnectError(f"{where}: {late} in {target.connect_timeout:g} s (connect_timeout)") from None
    finally:
        credentials.close()


def _pause(seconds: float, limit: Deadline, where: str, refusal: _Refused, attempts: int) -> None:
    remaining = limit.remaining()
    if limit.cancelled:
        raise DeadlineExpired("connecting was cancelled")
    if remaining is not None and remaining < seconds:
        raise ConnectError(
            f"{where} accepts a connection and ends it before the SSH banner, {attempts} times so far: {refusal}."
            " Its sshd may be at its MaxStartups or block this address; or something else listens there."
        ) from None
    pause = threading.Event()
    with limit.waking(pause.set):
        pause.wait(seconds)


def _attempt(
    target: Target,
    where: str,
    credentials: Credentials,
    dial: Dial,
    deadline: Deadline,
    started: Callable[[Transport], None],
) -> Connection:
    link = Link(dial(deadline), target.keepalive_interval)
    try:
        transport = Transport(link)
    except BaseException:
        link.close()
        raise
    try:
        started(transport)
        transport._preferred_ciphers = tuple(name for name in CIPHERS if name in transport._cipher_info)
        transport.banner_timeout = transport.handshake_timeout = target.connect_timeout + 1
        prefer_known_keys(transport, target)
        _exchange_keys(transport, where, deadline)
        check_host_key(transport, target, where)
        credentials.authenticate(transport, where, deadline)
    except BaseException as error:
        transport.finish("connecting failed")
        if isinstance(error, DeadlineExpired) and not error.args:
            raise DeadlineExpired(_waited_for(transport)) from None
        raise
    return Connection(transport, credentials.used)


def _waited_for(transport: Transport) -> str:
    if not transport.link.greeting:
        return "no SSH banner arrived"
    return "authentication did not end" if transport.initial_kex_done else "the key exchange did not end"


def _exchange_keys(transport: Transport, where: str, deadline: Deadline) -> None:
    done = threading.Event()
    transport.start_client(event=done)
    with deadline.waking(done.set):
        while not done.wait(deadline.remaining()):
            deadline.check()
    if deadline.cancelled:
        raise DeadlineExpired("connecting was cancelled")
    if transport.initial_kex_done and not transport.link.ended:
        return
    greeting = transport.link.greeting
    if not greeting or b"MaxStartups" in greeting or b"Not allowed at this time" in greeting:
        raise _Refused(greeting.decode(errors="replace").strip() or transport.why)
    if b"SSH-" not in greeting:
        line = greeting.splitlines()[0][:80].decode(errors="replace")
        raise ConnectError(f"{where} is no SSH server: it says {line!r}. Check host= and port=.")
    error = str(transport.saved_exception or "") or transport.why
    if "ignature" in error:
        raise HostKeyError(f"{where} does not hold the host key that it shows: {error}")
    raise ConnectError(f"{where}: the key exchange failed: {error}")


def dial_tcp(host: str, port: int, where: str, deadline: Deadline, daemon: str = "sshd") -> Stream:
    """Connect to the first address of `host` that answers."""
    addresses = _resolve(host, port, where, deadline)
    failures = []
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        remaining = deadline.remaining()
        share = deadline if remaining is None else deadline.at_most(remaining / (len(addresses) - position))
        try:
            return SocketStream(_connect(socket.socket(family, kind, protocol), address, share))
        except DeadlineExpired:
            if deadline.expired:
                raise
            failures.append(f"{address[0]}: no answer")
        except OSError as error:
            failures.append(f"{address[0]}: {error.strerror or error}")
    raise ConnectError(
        f"{where} cannot be reached: {'; '.join(failures)}. Check host=, port= and that its {daemon} runs."
    )


def _connect(sock: socket.socket, address: object, deadline: Deadline) -> socket.socket:
    waker, woken = socket.socketpair()
    with waker, woken:
        try:
            _tune(sock)
            sock.setblocking(False)
            sock.connect_ex(address)  # type: ignore[arg-type]  # as getaddrinfo made it
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.register(woken, select.POLLIN)
            with deadline.waking(lambda: waker.send(b"x")):
                remaining = deadline.remaining()
                ready = poll.poll(None if remaining is None else remaining * 1000)
            if sock.fileno() not in [descriptor for descriptor, _ in ready]:
                raise DeadlineExpired("no answer to the TCP connection")
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            return sock
        except BaseException:
            sock.close()
            raise


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _resolve(
    host: str, port: int, where: str, deadline: Deadline
) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    """The addresses of a name. The resolver knows no time-out, so it is left behind where the deadline ends first."""
    found: list[object] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        done.set()

    thread = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    thread.start()
    with deadline.waking(done.set):
        done.wait(deadline.remaining())
    if not found:
        raise DeadlineExpired(f"the name {host} was not resolved")
    thread.join()
    if isinstance(found[0], Exception):
        why = getattr(found[0], "strerror", None) or found[0]
        raise ConnectError(f"{where} cannot be reached: no address for {host!r}: {why}. Check host=.") from found[0]
    return found[0]  # type: ignore[return-value]  # what getaddrinfo gives


def dial_command(command: str) -> Stream:
    """Start a ProxyCommand and talk to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True
        )
    return SocketStream(ours, process)
