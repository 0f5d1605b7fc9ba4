"""One deadline for each public call, passed down to every wait of that call.

A deadline is an absolute moment of the monotonic clock, so that a call with several waits (connect, open, run) takes no
longer than its timeout in all, and a change of the wall clock does not move it. A deadline also carries the ways in
which its call can be cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar, copy_context
from time import monotonic
from typing import TypeVar

from .arguments import Timeout as Timeout
from .arguments import timeout_seconds as timeout_seconds
from .limits import SIGNAL_POLL


class DeadlineExpired(Exception):
    """A wait ended because its deadline passed, or because its call was cancelled. Never reaches a user."""


class Cancellation:
    """Ends every wait of the calls that carry it. Can be cancelled once, from any thread.

    `reason` says in the results of these calls why they ended.
    """

    def __init__(self, reason: str = "cancelled") -> None:
        self.reason = reason
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []
        self.cancelled = False

    def cancel(self) -> None:
        """End the waits. Returns at once; the calls then clean up in their own threads."""
        with self._lock:
            self.cancelled = True
            wakers = list(self._wakers)
        # Outside of the lock, because a waker may take locks of its own, whose holders may be about to call `waking`.
        for wake in wakers:
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` if the cancellation comes inside the block.

        After it has entered the block, a thread must look at `cancelled`: an earlier cancellation wakes nobody.
        """
        with self._lock:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)


cancellation: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""The cancellation that deadlines made in this context carry."""

T = TypeVar("T")


def context_with(item: Cancellation | None) -> Context:
    """Return a copy of this context in which calls carry that cancellation, or none.

    >>> context_with(Cancellation()).run(host.run, "make")
    """
    context = copy_context()
    context.run(cancellation.set, item)
    return context


def shielded(call: Callable[[], T]) -> T:
    """Call what has to be done also after the calls of this context were cancelled."""
    return context_with(None).run(call)


class Deadline:
    """The moment at which a call must be back; None means never.

    >>> Deadline.after(2.5).remaining() <= 2.5
    True
    """

    __slots__ = ("_at", "_cancellations")

    def __init__(self, at: float | None, *cancellations: Cancellation) -> None:
        self._at = at
        self._cancellations = cancellations

    @classmethod
    def after(cls, timeout: Timeout) -> Deadline:
        """Start the clock of a public call. Raises `ConfigError` for a timeout that is not valid."""
        seconds = timeout_seconds(timeout)
        at = None if seconds is None else monotonic() + seconds
        # An awaited verb, and a command of the command line, can be cancelled from outside of the call.
        surrounding = cancellation.get()
        return cls(at) if surrounding is None else cls(at, surrounding)

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now; cancelled with this one."""
        at = monotonic() + seconds
        return Deadline(at if self._at is None else min(at, self._at), *self._cancellations)

    def also(self, *others: Cancellation) -> Deadline:
        """Return the same moment, which `others` can cancel too."""
        return Deadline(self._at, *self._cancellations, *others)

    @staticmethod
    def grace(seconds: float) -> Deadline:
        """A deadline for cleaning up after another has ended: nobody cancels it."""
        return Deadline(monotonic() + seconds)

    @property
    def cancelled(self) -> str:
        """Why the call was cancelled; empty when it was not."""
        return next((item.reason for item in self._cancellations if item.cancelled), "")

    @property
    def expired(self) -> bool:
        """Whether no time is left, or the call was cancelled."""
        return self.remaining() == 0.0

    def remaining(self) -> float | None:
        """Return the seconds left, never negative; None means forever."""
        if self.cancelled:
            return 0.0
        return None if self._at is None else max(0.0, self._at - monotonic())

    def wait_time(self) -> float:
        """Return the seconds after which whoever waits looks again at what it waits for: SIGNAL_POLL at most.

        An interrupt may have kept the other thread from waking it.

        >>> Deadline.after(None).wait_time()
        1.0
        """
        remaining = self.remaining()
        return SIGNAL_POLL if remaining is None else min(SIGNAL_POLL, remaining)

    def check(self) -> None:
        """Raise `DeadlineExpired` when no time is left."""
        if self.expired:
            raise DeadlineExpired

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` if the call is cancelled inside the block, so that a wait in it looks at the deadline again."""
        with ExitStack() as stack:
            for item in self._cancellations:
                stack.enter_context(item.waking(wake))
            yield


def wait_times(timeout: float | None) -> Iterator[float]:
    """Divide one wait into short ones: yield the seconds of each, until `timeout` is over; None is forever.

    A signal that another thread took, or that came just before, does not end a wait for a lock or a descriptor. Python
    runs the signal's handler only after it, so no such wait may be long.
    """
    deadline = Deadline(None) if timeout is None else Deadline.grace(timeout)
    yield deadline.wait_time()
    while not deadline.expired:
        yield deadline.wait_time()
