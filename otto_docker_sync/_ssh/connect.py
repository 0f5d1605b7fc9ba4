"""Making one SSH connection: TCP, tunnel or proxy command below, key exchange, host key, authentication."""

from __future__ import annotations

import logging
import random
import weakref
from collections.abc import Callable
from time import monotonic

from .._channel.tcp import DroppedBeforeBanner, Stream
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError
from ..locks import Signal
from .algorithms import choose_algorithms
from .auth import Credentials, Disconnected
from .config import Target
from .host_key import check_host_key, prefer_known_keys
from .link import Link
from .paramiko_errors import HANDSHAKE, map_error
from .raw_channel import RawChannel
from .transport import CLOSED, Transport

_log = logging.getLogger("otto_docker_sync.ssh")
Dial = Callable[[Deadline], Stream]


class Place:
    """A session or a tunnel on a connection. It counts there until it is given back, or nobody refers to it."""

    is_given_back = True  # of one whose making was interrupted

    def __init__(self, connection: Connection, *, is_tunnel: bool) -> None:
        self.connection = connection
        self.is_tunnel = is_tunnel
        self.is_given_back = False

    def __del__(self) -> None:
        # Without a lock: the garbage collector runs in any thread, whatever locks that has.
        if not self.is_given_back:
            self.connection.note_end(self)


class Connection:
    """One authenticated connection, and what its pool knows about it, under the pool's lock."""

    def __init__(self, transport: Transport, login: str) -> None:
        self.transport = transport
        self.login = login
        """The key or password that the server took."""
        self._places: list[weakref.ref[Place]] = []
        self.spare: RawChannel | None = None
        """A channel that was asked for ahead of the next session, which saves that one a round trip."""
        self.no_spare_until = 0.0
        """Until then none is asked for: the server has refused one."""
        self.full_at: int | None = None
        """How many sessions it had when the server refused one more; forgotten after `full_until`."""
        self.full_until = 0.0
        self.settling = 0
        """Refusals in a row that may be due to sessions which we have closed and the server has not."""
        self.closed_at = 0.0
        """When a session was closed last; 0 is never."""
        self.idle_since = monotonic()

    @property
    def alive(self) -> bool:
        return not self.transport.link.ended and bool(self.transport.active)

    @property
    def places(self) -> list[Place]:
        return [place for reference in self._places if (place := reference()) is not None]

    @property
    def sessions(self) -> int:
        """How many sessions are open, or being opened; tunnels do not count."""
        return sum(not place.is_tunnel for place in self.places)

    @property
    def unused(self) -> bool:
        return not self.places

    def take_place(self, *, is_tunnel: bool) -> Place:
        place = Place(self, is_tunnel=is_tunnel)
        self._places = [weakref.ref(other) for other in [*self.places, place]]
        return place

    def give_back(self, place: Place) -> None:
        place.is_given_back = True
        self._places = [weakref.ref(other) for other in self.places if other is not place]

    def note_end(self, place: Place) -> None:
        """Remember when a place that is taken no more was used last. Takes no lock."""
        self.idle_since = monotonic()
        if not place.is_tunnel:
            self.closed_at = self.idle_since


def connect(
    target: Target,
    where: str,
    credentials: Credentials,
    dial: Dial,
    deadline: Deadline,
    started: Callable[[Transport], None],
) -> Connection:
    """Connect and log in. `started` gets each transport, so that another thread can end it.

    The time limit is `target.connect_timeout`, or `deadline` if that is earlier. Raises `ConnectError` and its
    subclasses, or `DeadlineExpired` with what was waited for when `deadline` was the earlier one.
    """
    limit = deadline.at_most(target.connect_timeout)
    attempts = 0
    try:
        credentials.prepare(limit)
        while True:
            attempts += 1
            try:
                return _attempt(target, where, credentials, dial, limit, started)
            except Disconnected:
                continue
            except DroppedBeforeBanner as dropped:
                _pause(random.uniform(0.5, 1.5) * min(0.05 * 2**attempts, 1.0), limit, dropped, attempts)
    except DeadlineExpired as late:
        if deadline.expired:
            raise
        raise ConnectError(
            f"{where}: {late} in {target.connect_timeout:g} s (connect_timeout). Is it the port of an sshd, and the"
            " machine not too busy? Another connect_timeout gives it more time."
        ) from None
    except ConfigError as error:  # about a file, which does not know for which host it was read
        raise ConfigError(f"{where}: {error}") from error
    finally:
        credentials.close()


def _pause(seconds: float, limit: Deadline, dropped: DroppedBeforeBanner, attempts: int) -> None:
    """Wait before another attempt. The pauses grow, and are random, so that many clients do not come at once again."""
    remaining = limit.remaining()
    if limit.cancelled:
        raise DeadlineExpired("connecting was cancelled")
    if remaining is not None and remaining < seconds:
        raise ConnectError(
            f"{dropped}, {attempts} times so far. Its sshd may be at its MaxStartups or block this address, or"
            " something else listens there."
        ) from None
    pause = Signal()
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
        choose_algorithms(transport, target)
        # Paramiko's own timers must not be the first to end: they say less than our deadline does.
        transport.banner_timeout = transport.handshake_timeout = target.connect_timeout + 1
        prefer_known_keys(transport, target)
        with transport.guard():
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
    link.watch(target.keepalive_interval, target.keepalive_count)
    return Connection(transport, credentials.used)


def _waited_for(transport: Transport) -> str:
    if not transport.link.first_bytes:
        complaint = transport.link.stream.complaint()
        return f"no SSH banner arrived (its ProxyCommand says: {complaint})" if complaint else "no SSH banner arrived"
    return "authentication did not end" if transport.initial_kex_done else "the key exchange did not end"


def _exchange_keys(transport: Transport, where: str, deadline: Deadline) -> None:
    done = Signal()
    transport.start_client(event=done)
    with deadline.waking(done.set):
        while not done.wait(deadline.wait_time()):
            deadline.check()
    if deadline.cancelled:
        raise DeadlineExpired("connecting was cancelled")
    if transport.initial_kex_done and not transport.link.ended:
        return
    first_bytes = transport.link.first_bytes
    if not first_bytes or b"MaxStartups" in first_bytes or b"Not allowed at this time" in first_bytes:
        said = first_bytes.decode(errors="replace").strip() or transport.why
        if not transport.link.stream.may_be_retried:
            raise ConnectError(f"{where}: {said}")
        # A busy sshd drops connections at random (MaxStartups), so another attempt may get through.
        raise DroppedBeforeBanner(f"{where} closed the connection before sending an SSH banner: {said}")
    if b"SSH-" not in first_bytes:
        line = first_bytes.splitlines()[0][:80].decode(errors="replace")
        raise ConnectError(f"{where} is not an SSH server; it sent {line!r}. Check host= and port=.")
    raise map_error(HANDSHAKE, transport.saved_exception, where, transport.why)
