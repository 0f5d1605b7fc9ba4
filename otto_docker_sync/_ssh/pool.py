"""Which connection has room for one more session, when another connection is opened, and when it is closed again.

sshd limits the sessions of one connection (MaxSessions, 10 by default), and says so only by refusing one more. So the
pool assumes the default, and learns the rest from refusals.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, ForkError
from ..limits import IDLE_LIMIT, LOCK_POLL, MAX_SESSIONS, REFUSAL_TIME, SETTLING_TIME, SETTLING_TRIES
from ..locks import Holder, Monitor
from .connect import Connection, Place
from .transport import CLOSED, Transport

_log = logging.getLogger("otto_docker_sync.ssh")


class Pool(ABC):
    """The connections of one host. The first is made when one is needed: one thread connects, the others wait for it.

    A connection carries as many sessions as the server allows, then another one is opened. All state changes under one
    lock, which nobody holds while it waits for the network.

    A call may be interrupted anywhere. So a place on a connection counts only as long as somebody has it, and an
    attempt to connect is under way only as long as its frame runs. Who comes next clears up what was interrupted.

    An attempt to connect has a number, and `close` a generation. With them, a thread that waited can tell whether a
    failure is that of the attempt it waited for, and a thread that connected, whether the pool was closed meanwhile.
    """

    def __init__(self, max_connections: int) -> None:
        self.sessions_per_connection = MAX_SESSIONS
        self._max_connections = max_connections
        self._changed = Monitor()
        self._open: list[Connection] = []
        self._attempt = 0
        self._connecting: Holder | None = None
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

    def _reserve(self, deadline: Deadline, *, tunnel: bool = False, takes_spare: bool = True) -> Place:
        """Return a place for one more session, or for a tunnel, on a connection.

        Tunnels need no room: MaxSessions does not count them. A session that cannot take a spare channel needs room
        beside it. Raises `ConnectError`, or `DeadlineExpired`.
        """
        self._check_process()
        with self._changed.lock:
            # A failure counts for this caller only if its attempt was under way when the caller came, or began later.
            # An older one may have been that of another day, and the next attempt may succeed.
            first_attempt = self._attempt if self._is_connecting() else self._attempt + 1
        while True:
            with self._changed.lock:
                self._open = [connection for connection in self._open if connection.alive]
                for connection in self._open:
                    if tunnel or self._has_room(connection, takes_spare=takes_spare):
                        # Counted before the lock is released, or two threads would take the same last place.
                        return connection.take_place(is_tunnel=tunnel)
                if self._failure and self._failure[0] >= first_attempt and not self._open:
                    # An exception of its own for each thread: one object raised in several would mix their tracebacks.
                    raise type(self._failure[1])(str(self._failure[1])) from self._failure[1]
                if not self._may_grow():
                    self._wait(deadline)
                    continue
                self._end_starting()
                self._connecting = Holder.of(sys._getframe())
                self._attempt += 1
                attempt, generation = self._attempt, self._generation
            self._grow(attempt, generation, deadline)

    def _has_room(self, connection: Connection, *, takes_spare: bool = True) -> bool:
        """Whether one more session fits on a connection, as far as we know. Holds the lock."""
        if connection.full_at is not None and monotonic() >= connection.full_until:
            connection.full_at = None
        limit = self.sessions_per_connection
        in_use = connection.sessions
        if connection.spare is not None and not takes_spare:
            in_use += 1
        return in_use < (limit if connection.full_at is None else min(limit, connection.full_at))

    def _may_grow(self) -> bool:
        """Whether another connection may be opened now. Holds the lock.

        Not while a connection is settling: its places are about to become free, and a new connection for each pause
        between two commands would be a storm of logins.
        """
        now = monotonic()
        return not (
            self._is_connecting()
            or len(self._open) >= self._max_connections
            or (self._open and now < self._no_more_until)
            or any(connection.settling and now < connection.full_until for connection in self._open)
        )

    def _is_connecting(self) -> bool:
        """Whether a thread makes a connection now. Holds the lock."""
        return self._connecting is not None and not self._connecting.is_gone()

    def _end_starting(self) -> None:
        """End the connection that is being made, or that an interrupted attempt has left. Holds the lock."""
        if self._starting is not None and all(self._starting is not known.transport for known in self._open):
            self._starting.link.end(CLOSED)

    def _wait(self, deadline: Deadline) -> None:
        """Wait until something changes, and say what was waited for when the deadline ends. Holds the lock."""
        if deadline.expired:
            if deadline.cancelled or not self._open or self._is_connecting():
                raise DeadlineExpired("another thread still connects")
            if len(self._open) < self._max_connections and monotonic() >= self._no_more_until:
                raise DeadlineExpired("the server has not let go of sessions that ended")
            raise ConnectError(self._why_full())
        # A time after which there may be room needs no event: nobody notifies when it comes.
        now = monotonic()
        retry_times = [self._no_more_until, *(connection.full_until for connection in self._open)]
        soon = [retry_time - now for retry_time in retry_times if retry_time > now]
        # LOCK_POLL, as nobody notifies of a call that was interrupted either.
        with deadline.waking(self._wake):
            self._changed.wait(deadline.at_most(min([*soon, LOCK_POLL])).remaining())

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
        with self._changed.lock:
            self._changed.notify_all()

    def _release(self, place: Place, *, refused: tuple[int, str] | None = None) -> None:
        """Give a place back; `refused` is the code and text with which the server refused to open the session."""
        connection = place.connection
        with self._changed.lock:
            if place.is_given_back:
                return
            connection.give_back(place)
            self._changed.notify_all()
            if refused:
                self._on_refused(connection, *refused)
            else:
                connection.note_end(place)

    def _on_refused(self, connection: Connection, code: int, text: str) -> None:
        """Learn from a session that was refused. Holds the lock.

        The server does not say which of several causes a refusal has. In this order: it forbids sessions (code 1);
        sessions that we closed a moment ago still count there; their processes have not ended yet, or it is busy; the
        connection carries as many as MaxSessions allows. Only the last one says what MaxSessions is, so only it may
        change `sessions_per_connection`: a limit learnt from a closed session would be too low forever.
        """
        if code == 1:
            raise ConnectError(f"{self.where} refuses sessions: {text}")
        in_use = connection.sessions
        if connection.spare is not None and connection.spare.active:
            in_use += 1
        connection.full_at = in_use
        now = monotonic()
        just_closed = connection.closed_at and now - connection.closed_at < SETTLING_TIME
        if just_closed and connection.settling < SETTLING_TRIES:
            # A session ends on the server a little after we have closed it: try again soon, and less and less often.
            connection.settling += 1
            connection.full_until = now + min(0.005 * 2**connection.settling, 0.2)
            return
        connection.settling = 0
        connection.full_until = now + REFUSAL_TIME
        if connection.closed_at:
            return  # sessions whose processes have not ended may still count there: the limit is not known
        if not in_use:
            raise ConnectError(f"{self.where} allows no sessions: {text}. Is MaxSessions 0 in its sshd_config?")
        self.sessions_per_connection = min(self.sessions_per_connection, in_use)
        _log.debug("%s takes %d sessions on one connection", self.where, self.sessions_per_connection)

    def _grow(self, attempt: int, generation: int, deadline: Deadline) -> None:
        """Open one more connection, and tell the threads that wait for it how that ended.

        The lock is not held while connecting. If the pool was closed meanwhile, the new connection belongs to nobody:
        it is ended, and the caller gets an error.
        """
        connection = None
        try:
            connection = self._connect(self._started, deadline)
            connection.transport.link.idle = _Idle(weakref.ref(self), connection)
        except ConnectError as error:
            with self._changed.lock:
                self._failure = attempt, error
                self._no_more_until = monotonic() + REFUSAL_TIME
                # Where others are alive, this thread can wait for a place on one of them; the failure is a warning.
                if not any(other.alive for other in self._open):
                    raise
                _log.warning("%s: no further connection for now: %s", self.where, error)
        finally:
            with self._changed.lock:
                if connection is None:
                    self._end_starting()
                if connection is not None and generation == self._generation:
                    # Before it is forgotten as one that is being made: an interrupt in between must not lose it.
                    self._open.append(connection)
                    self._failure, self._no_more_until = None, 0.0
                self._connecting, self._starting = None, None
                self._changed.notify_all()
        if connection is not None and generation != self._generation:
            connection.transport.finish(CLOSED)
            raise ConnectError(f"{self.where} was closed while it was connecting")

    def _started(self, transport: Transport) -> None:
        with self._changed.lock:
            self._starting = transport

    def _retire(self, connection: Connection) -> bool:
        """Whether to close an idle connection: it is not the first, and unused for IDLE_LIMIT."""
        # Asked every SSH_READ_WAIT on the connection's own thread: the first look takes no lock.
        if not connection.unused or monotonic() - connection.idle_since < IDLE_LIMIT:
            return False
        with self._changed.lock:
            # Again, under the lock: a caller may have reserved a session in between. Once the connection is out of
            # `_open`, nobody can.
            if not connection.unused or connection not in self._open or connection is self._open[0]:
                return False
            self._open.remove(connection)
            return True

    def _close(self) -> None:
        """Close all connections and interrupt the one that is being made; the next call starts anew.

        All links are ended first, and waited for afterwards: it takes as long as the slowest, not as all of them.
        """
        with self._changed.lock:
            self._generation += 1
            ending = [connection.transport for connection in self._open]
            # Ended before they are forgotten: an interrupt in between must not leave one that nobody knows.
            for transport in ending:
                transport.link.end(CLOSED)
            self._open = []
            self._end_starting()
            self._changed.notify_all()
        for transport in ending:
            transport.finish(CLOSED)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkError(
                f"{self.where} is connected in the process that this one was forked from; make a host of its own here"
            )


class _Idle:
    """Tells a link that nobody needs it any more, also when its pool was garbage-collected.

    It holds the pool by a weak reference: the link's thread must not keep a dropped host alive.
    """

    def __init__(self, owner: weakref.ref[Pool], connection: Connection) -> None:
        self._owner = owner
        self._connection = connection

    def __call__(self) -> bool:
        owner = self._owner()
        if owner is None:
            return self._connection.unused
        return owner._retire(self._connection)
