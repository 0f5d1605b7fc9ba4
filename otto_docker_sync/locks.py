"""A lock that is waited for under a deadline."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from .deadline import Deadline
from .errors import SessionBusy


class OwnedLock:
    """A lock that waits under a deadline and can name its holder.

    `what` is the thing that it protects, as an error names it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._free = threading.Condition()
        self._holder: tuple[str, str, float] | None = None
        self._holder_thread: int | None = None

    @contextmanager
    def hold(self, action: str, deadline: Deadline) -> Iterator[None]:
        """Hold the lock for the block; `action` is what a waiting thread's error says about it.

        Raises `SessionBusy`, which names the holder, when the lock is not free in time.
        """
        self._acquire(action, deadline)
        try:
            yield
        finally:
            self.release()

    def _acquire(self, action: str, deadline: Deadline) -> None:
        # Waiting for itself would last forever: a callback of a command that calls the same session again.
        if self._holder_thread == threading.get_ident():
            raise SessionBusy(
                f"{self._what}: this thread is inside {self._describe_holder()} already; "
                "use another session: open_session()"
            )
        # A cancelled call must look at its deadline again, so its cancellation wakes the wait.
        with deadline.waking(self._wake), self._free:
            while self._holder is not None:
                if deadline.expired:
                    raise SessionBusy(
                        f"{self._what} is busy: {self._describe_holder()}; "
                        "wait longer (timeout=), or use a session of your own: open_session()"
                    )
                self._free.wait(deadline.remaining())
            self._holder = threading.current_thread().name, action, monotonic()
            self._holder_thread = threading.get_ident()

    def try_acquire(self, action: str) -> bool:
        """Take the lock if it is free now, and return whether it was. `release` gives it back."""
        try:
            self._acquire(action, Deadline.grace(0))
        except SessionBusy:
            return False
        return True

    def release(self) -> None:
        """Give the lock back, and wake one thread that waits for it."""
        with self._free:
            self._holder = self._holder_thread = None
            self._free.notify()

    def _describe_holder(self) -> str:
        thread, action, since = self._holder or ("", "another call", monotonic())
        return f"{action} of thread {thread!r}, for {monotonic() - since:.1f} s now"

    def _wake(self) -> None:
        with self._free:
            self._free.notify_all()
