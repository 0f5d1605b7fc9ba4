"""One monotonic deadline a public call, passed down to every wait of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import timedelta
from time import monotonic
from typing import Union

from .errors import ConfigError

Timeout = Union[float, timedelta, None]
"""What a public ``timeout=`` takes: seconds, a ``timedelta``, or None to wait for ever."""


class DeadlineExpired(Exception):
    """A wait ended because its deadline did, or because its call was cancelled. Never reaches a user."""


class Cancellation:
    """Set once, from any thread, it ends every wait of the calls that carry it. `reason` says why, in a result."""

    def __init__(self, reason: str = "cancelled") -> None:
        self.reason = reason
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []
        self.cancelled = False

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` when cancelled, from now to the end of the block."""
        with self._lock:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)


cancellation: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""The cancellation that deadlines made in this context carry."""


class Deadline:
    """The moment at which a call must be back; None is never.

    >>> Deadline.after(2.5).remaining() <= 2.5
    True
    """

    __slots__ = ("_at", "_cancellations")

    def __init__(self, at: float | None, *cancellations: Cancellation) -> None:
        self._at = at
        self._cancellations = cancellations

    @classmethod
    def after(cls, timeout: Timeout) -> Deadline:
        """Start the clock of a public call. Raises `ConfigError` for what is no time: negative, NaN, a bool, a text."""
        seconds = timeout_seconds(timeout)
        around = cancellation.get()
        return cls(None if seconds is None else monotonic() + seconds, *([around] if around else []))

    def at_most(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now; cancelled with this one."""
        at = monotonic() + seconds
        return Deadline(at if self._at is None else min(at, self._at), *self._cancellations)

    def also(self, another: Cancellation) -> Deadline:
        """The same moment, which `another` can cancel, too."""
        return Deadline(self._at, *self._cancellations, another)

    @staticmethod
    def grace(seconds: float) -> Deadline:
        """A deadline for cleaning up after another has ended: nobody cancels it."""
        return Deadline(monotonic() + seconds)

    @property
    def cancelled(self) -> str:
        """Why the call was cancelled; empty when it was not."""
        return next((each.reason for each in self._cancellations if each.cancelled), "")

    @property
    def expired(self) -> bool:
        return self.remaining() == 0.0

    def remaining(self) -> float | None:
        """Seconds left, never negative; None is for ever."""
        if self.cancelled:
            return 0.0
        return None if self._at is None else max(0.0, self._at - monotonic())

    def acquire(self, lock: threading.Lock | threading.RLock) -> bool:
        """Wait for a lock; whether it came in time. A cancellation does not end the wait."""
        remaining = self.remaining()
        return lock.acquire(timeout=-1 if remaining is None else remaining)

    def check(self) -> None:
        """Raise `DeadlineExpired` when no time is left."""
        if self.expired:
            raise DeadlineExpired

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` if the call is cancelled inside the block, so that a wait in it looks at the deadline again."""
        with ExitStack() as stack:
            for each in self._cancellations:
                stack.enter_context(each.waking(wake))
            yield


def timeout_seconds(timeout: Timeout) -> float | None:
    """Check a public ``timeout=`` and return it in seconds; infinity is None."""
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or math.isnan(timeout) or timeout < 0:
        raise ConfigError(f"timeout={timeout!r}: give seconds (0 or more), a timedelta, or None to wait for ever")
    return None if math.isinf(timeout) else float(timeout)
