"""Making one SSH connection: TCP, tunnel or proxy command below, key exchange, host key, authentication."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from time import monotonic

from .._channel.tcp import Dropped, Stream
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, HostKeyError
from .auth import Credentials, Disconnected, check_host_key, prefer_known_keys
from .config import Target
from .link import Link
from .transport import CLOSED, Transport

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")

_log = logging.getLogger("otto_docker_sync.ssh")
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


def connect(
    target: Target,
    where: str,
    credentials: Credentials,
    dial: Dial,
    deadline: Deadline,
    started: Callable[[Transport], None],
) -> Connection:
    """Connect and log in. `started` is told of each transport, so that somebody else can end it.

    Raises `ConnectError` and its kin, or `DeadlineExpired` (with what was waited for) when `deadline` is the earlier.
    """
    limit = deadline.at_most(target.connect_timeout)
    attempts = 0
    try:
        while True:
            attempts += 1
            try:
                return _attempt(target, where, credentials, dial, limit, started)
            except Disconnected:
                continue
            except Dropped as dropped:
                _pause(random.uniform(0.5, 1.5) * min(0.05 * 2**attempts, 1.0), limit, dropped, attempts)
    except DeadlineExpired as late:
        if deadline.expired:
            raise
        raise ConnectError(f"{where}: {late} in {target.connect_timeout:g} s (connect_timeout)") from None
    finally:
        credentials.close()


def _pause(seconds: float, limit: Deadline, dropped: Dropped, attempts: int) -> None:
    remaining = limit.remaining()
    if limit.cancelled:
        raise DeadlineExpired("connecting was cancelled")
    if remaining is not None and remaining < seconds:
        raise ConnectError(
            f"{dropped}, {attempts} times so far. Its sshd may be at its MaxStartups or block this address, or"
            " something else listens there."
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
    _log.debug("connecting to %s", where)
    link = Link(dial(deadline))
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
        if transport.link.reason == CLOSED:
            raise ConnectError(f"{where} was closed while it was connecting") from None
        if isinstance(error, DeadlineExpired) and not error.args:
            raise DeadlineExpired(_waited_for(transport)) from None
        raise
    link.watch(target.keepalive_interval)
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
        said = greeting.decode(errors="replace").strip() or transport.why
        raise Dropped(f"{where} ends a connection before the SSH banner: {said}")
    if b"SSH-" not in greeting:
        line = greeting.splitlines()[0][:80].decode(errors="replace")
        raise ConnectError(f"{where} is no SSH server: it says {line!r}. Check host= and port=.")
    error = str(transport.saved_exception or "") or transport.why
    if "ignature" in error:
        raise HostKeyError(f"{where} does not hold the host key that it shows: {error}")
    raise ConnectError(f"{where}: the key exchange failed: {error}")
