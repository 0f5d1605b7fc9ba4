"""Which connection has room for one more session, when a further one is opened, and when it is closed again."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, ForkError
from .connect import Connection
from .transport import CLOSED, Transport

MAX_SESSIONS = 10
"""Sessions on one connection, as OpenSSH's MaxSessions has it. Fewer, once the server has refused one."""
IDLE_LIMIT = 10.0
"""Seconds until a connection in surplus ends that nobody uses."""

_SETTLING_TIME = 1.0
_SETTLING_TRIES = 8
_FULL_FOR = 5.0

_log = logging.getLogger("otto_docker_sync.ssh")


class Pool(ABC):
    """The connections of one host. The first is made when one is needed: one thread connects, the others wait for it.

    A connection carries as many sessions as the server allows, then a further one is opened. All state changes under
    one lock, which nobody holds while it waits for the network.
    """

    def __init__(self, max_connections: int) -> None:
        self.sessions_per_connection = MAX_SESSIONS
        self._max_connections = max_connections
        self._changed = threading.Condition()
        self._open: list[Connection] = []
        self._attempt = 0
        self._connecting = False
        self._starting: Transport | None = None
        self._failure: tuple[int, ConnectError] | None = None
        self._no_more_until = 0.0
        self._generation = 0
        self._pid = os.getpid()

    @property
    @abstractmethod
    def where(self) -> str:
        """The host as errors name it."""

    @abstractmethod
    def _connect(self, started: Callable[[Transport], None], deadline: Deadline) -> Connection:
        """Make a connection; tell `started` of each transport on the way."""

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
        limit = self.sessions_per_connection
        return connection.sessions < (limit if connection.full_at is None else min(limit, connection.full_at))

    def _may_grow(self) -> bool:
        now = monotonic()
        return not (
            self._connecting
            or len(self._open) >= self._max_connections
            or (self._open and now < self._no_more_until)
            or any(connection.settling and now < connection.full_until for connection in self._open)
        )

    def _wait(self, deadline: Deadline) -> None:
        """Wait until something changes. Holds the lock."""
        if deadline.expired:
            if deadline.cancelled or not self._open or self._connecting:
                raise DeadlineExpired("another thread still connects")
            if len(self._open) < self._max_connections and monotonic() >= self._no_more_until:
                raise DeadlineExpired("the server has not let go of sessions that ended")
            raise ConnectError(self._why_full())
        now = monotonic()
        moments = [self._no_more_until, *(connection.full_until for connection in self._open)]
        soon = [moment - now for moment in moments if moment > now]
        remaining = deadline.remaining()
        with deadline.waking(self._wake):
            self._changed.wait(min([*soon, remaining] if remaining is not None else soon, default=None))

    def _why_full(self) -> str:
        sessions = sum(connection.sessions for connection in self._open)
        text = (
            f"{self.where} has no session free: {sessions} are in use on {len(self._open)} of max_connections="
            f"{self._max_connections} connections, with at most {self.sessions_per_connection} on each."
        )
        if self._failure and monotonic() < self._no_more_until:
            text += f" A further connection failed: {self._failure[1]}"
        return f"{text} Close some, give more time, or raise max_connections or the server's MaxSessions."

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _release(self, connection: Connection, *, tunnel: bool = False, refused: tuple[int, str] | None = None) -> None:
        with self._changed:
            connection.tunnels -= tunnel
            connection.sessions -= not tunnel
            connection.idle_since = now = monotonic()
            self._changed.notify_all()
            if refused:
                self._on_refused(connection, *refused, now)
            elif not tunnel:
                connection.closed_at = now

    def _on_refused(self, connection: Connection, code: int, text: str, now: float) -> None:
        """Draw the conclusion from a session that was refused. Holds the lock."""
        if code == 1:
            raise ConnectError(f"{self.where} refuses sessions: {text}")
        connection.full_at = connection.sessions
        just_closed = connection.closed_at and now - connection.closed_at < _SETTLING_TIME
        if just_closed and connection.settling < _SETTLING_TRIES:
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
        self.sessions_per_connection = min(self.sessions_per_connection, connection.sessions)
        _log.debug("%s takes %d sessions on one connection", self.where, self.sessions_per_connection)

    def _grow(self, attempt: int, generation: int, deadline: Deadline) -> None:
        """Open one more connection, and tell the threads that wait for it how that ended."""
        connection = None
        try:
            connection = self._connect(self._started, deadline)
            connection.transport.link.idle = _Idle(weakref.ref(self), connection)
        except ConnectError as error:
            with self._changed:
                self._failure = attempt, error
                self._no_more_until = monotonic() + _FULL_FOR
                if not any(other.alive for other in self._open):
                    raise
                _log.warning("%s: no further connection for now: %s", self.where, error)
        finally:
            with self._changed:
                self._connecting, self._starting = False, None
                if connection is not None and generation == self._generation:
                    self._open.append(connection)
                    self._failure, self._no_more_until = None, 0.0
                self._changed.notify_all()
        if connection is not None and generation != self._generation:
            connection.transport.finish(CLOSED)
            raise ConnectError(f"{self.where} was closed while it was connecting")

    def _started(self, transport: Transport) -> None:
        with self._changed:
            self._starting = transport

    def _retire(self, connection: Connection) -> bool:
        """Whether a connection that hears nothing is to end: one in surplus that nobody used for a while."""
        if not connection.unused or monotonic() - connection.idle_since < IDLE_LIMIT:
            return False
        with self._changed:
            if not connection.unused or connection not in self._open or connection is self._open[0]:
                return False
            self._open.remove(connection)
            return True

    def _close(self) -> None:
        """Close all connections and break off the one that is being made; the next call starts afresh."""
        with self._changed:
            self._generation += 1
            ending = [connection.transport for connection in self._open]
            self._open = []
            if self._starting is not None:
                self._starting.link.end(CLOSED)
            self._changed.notify_all()
        for transport in ending:
            transport.link.end(CLOSED)
        for transport in ending:
            transport.finish(CLOSED)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkError(
                f"{self.where} is connected in the process that was forked; in this one, make a host of its own"
            )


class _Idle:
    """Tells a link that nobody needs it any more; also when its owner has just been dropped."""

    def __init__(self, owner: weakref.ref[Pool], connection: Connection) -> None:
        self._owner = owner
        self._connection = connection

    def __call__(self) -> bool:
        owner = self._owner()
        if owner is None:
            return self._connection.unused
        return owner._retire(self._connection)
