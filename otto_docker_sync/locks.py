"""Locks that are waited for under a deadline, and that no interrupt leaves taken.

The plan. KeyboardInterrupt, or a signal handler that raises, can come between any two steps of Python code: after a
lock was taken and before the block that gives it back, or in the middle of giving it back. So a lock here does not
trust its holder to release it. It remembers the frame that took it; who finds the lock taken looks whether that frame
still runs in its thread, and if it does not, the lock was abandoned and is free.

All state changes inside ``with`` on a lock of the interpreter's own, which takes and gives back in one step each.
"""

from __future__ import annotations

import gc
import inspect
import os
import sys
import threading
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, NamedTuple

from .deadline import Deadline, wait_times
from .errors import SessionBusy
from .limits import LOCK_POLL

_LOSES_ITS_CALLER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_collection = threading.RLock()
"""Held by the thread that has stopped the garbage collection for a moment. No child is forked meanwhile."""
os.register_at_fork(
    before=_collection.acquire, after_in_parent=_collection.release, after_in_child=_collection.release
)


def current_frames() -> dict[int, FrameType]:
    """Return the innermost frame of each thread, by the thread's number.

    Before Python 3.12 a garbage collection inside of `sys._current_frames` can block every thread for good, signal
    handlers as well (https://github.com/python/cpython/issues/106883).
    """
    if sys.version_info >= (3, 12):
        return sys._current_frames()
    with _collection:
        if not gc.isenabled():
            return sys._current_frames()
        try:
            gc.disable()
            return sys._current_frames()
        finally:
            gc.enable()


class Holder(NamedTuple):
    """Who has a lock: the frame that took it, its thread, what it does, and since when."""

    frame: FrameType
    thread_id: int
    thread_name: str
    action: str
    since: float

    @classmethod
    def of(cls, frame: FrameType, action: str = "") -> Holder:
        """Return the calling thread as the holder, for as long as `frame` of it runs."""
        return cls(frame, threading.get_ident(), threading.current_thread().name, action, monotonic())

    def is_gone(self) -> bool:
        """Return whether the frame runs no more; False where nobody can know.

        That is so under gevent, where a thread's number is a greenlet's, and where the look came in the middle of a
        change: the next one will tell.
        """
        frame = current_frames().get(self.thread_id)
        if frame is None:
            return self.thread_id not in {thread.ident for thread in threading.enumerate()}
        while frame is not self.frame:
            caller = frame.f_back
            if caller is None:
                # The thread went on while we looked: a generator that yields loses its caller, which may be the holder.
                return not frame.f_code.co_flags & _LOSES_ITS_CALLER
            frame = caller
        return False


class AbandonableLock:
    """A lock that is free again when the thread that took it has ended. A thread that has it can take it once more."""

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._holders: list[Holder] = []
        """Empty when it is free; several when one thread took it several times."""
        self._waiting: list[Signal] = []

    @property
    def holder(self) -> Holder | None:
        """Who has the lock at the moment."""
        holders = self._holders
        return holders[-1] if holders else None

    def acquire(self, deadline: Deadline, action: str = "", frame: FrameType | None = None) -> bool:
        """Take the lock for the calling frame, or the one given. Returns False if it is not free in time."""
        mine = Holder.of(frame or sys._getframe(1), action)
        while not self._try(mine):
            if deadline.expired:
                return False
            self._wait(deadline)
        return True

    def _try(self, mine: Holder) -> bool:
        with self._state:
            self._holders = [holder for holder in self._holders if not holder.is_gone()]
            if not self._holders or self._holders[-1].thread_id == mine.thread_id:
                self._holders.append(mine)
                return True
            return False

    def _wait(self, deadline: Deadline) -> None:
        """Wait for a release, a cancellation, or LOCK_POLL."""
        signal = Signal()
        with self._state:
            if not self._holders:
                return
            self._waiting.append(signal)
        with deadline.waking(signal.set):
            signal.wait(deadline.at_most(LOCK_POLL).remaining())
        with self._state:
            if signal in self._waiting:
                self._waiting.remove(signal)

    def release(self, frame: FrameType | None = None) -> None:
        """Give the lock back, if the calling frame, or the one given, has it, and wake a thread that waits."""
        frame = frame or sys._getframe(1)
        with self._state:
            for index in range(len(self._holders) - 1, -1, -1):
                if self._holders[index].frame is frame:
                    del self._holders[index]
                    break
            woken = self._waiting.pop(0) if self._waiting and not self._holders else None
            if woken is not None:
                woken.set()


class Signal:
    """An event, as `threading.Event` is one, that an interrupt cannot break.

    Inside of `threading.Event` is a lock that Python code takes and gives back: an interrupt in between leaves it
    taken, and then the thread that wants to set the event waits forever. Here the lock itself is the event: it is free
    while the event is set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Wake the threads that wait, and let those pass that come later. Idempotent."""
        self._is_set = True
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it was set before

    def clear(self) -> None:
        """Let those wait that come from now on. Idempotent."""
        # In this order: when another thread sets it in between, it stays set.
        self._is_set = False
        self._lock.acquire(blocking=False)

    def _at_fork_reinit(self) -> None:
        """In a forked child `threading` calls this for the event of each thread."""
        self._lock = threading.Lock()
        if not self._is_set:
            self._lock.acquire()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, so many seconds at most, and return whether it is. May return False too early."""
        for seconds in wait_times(timeout):
            if self._is_set:
                break
            if self._lock.acquire(timeout=seconds):
                if self._is_set:
                    self.set()  # for the others that wait
                break
        return self._is_set


def start_thread(thread: threading.Thread) -> None:
    """Start a thread, and return when it runs. An interrupt meanwhile cannot keep it from running."""
    # The new thread sets this event first of all: with that of `threading` it could wait there forever.
    thread._started = Signal()  # type: ignore[attr-defined]
    threading.Thread.start(thread)


class Monitor:
    """A lock, and a place to wait for changes of what it protects: a `threading.Condition` that no interrupt breaks.

    >>> with monitor.lock:
    ...     while not condition:
    ...         monitor.wait(timeout)
    """

    def __init__(self) -> None:
        self.lock: Any = threading.RLock()
        """Take it by ``with``, and once only where `wait` is called."""
        self._waiting: list[Signal] = []

    def wait(self, timeout: float | None) -> None:
        """Wait for `notify_all`, so many seconds at most. The lock is free meanwhile. May return too early."""
        signal = Signal()
        self._waiting.append(signal)
        try:
            self.lock.release()
            signal.wait(timeout)
        finally:
            if not self.lock._is_owned():  # an interrupt may have come before the release
                self.lock.acquire()
            if signal in self._waiting:
                self._waiting.remove(signal)

    def notify_all(self) -> None:
        """Wake all that wait. The caller has the lock."""
        for signal in self._waiting:
            signal.set()


class OwnedLock:
    """A lock that waits under a deadline and can name its holder.

    `what` is the thing that it protects, as an error names it.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = AbandonableLock()

    def hold(self, action: str, deadline: Deadline) -> Hold:
        """Return a context manager that holds the lock; `action` is what the error of a waiting thread says about it.

        Entering it raises `SessionBusy`, which names the holder, when the lock is not free in time.
        """
        return Hold(self, action, deadline)

    def acquire(self, action: str, deadline: Deadline, frame: FrameType) -> None:
        """Take the lock for `frame`. Raises as `hold`."""
        # Waiting for itself would last forever: a callback of a command that calls the same session again.
        holder = self._lock.holder
        if holder is not None and holder.thread_id == threading.get_ident() and not holder.is_gone():
            raise SessionBusy(
                f"{self._what}: this thread is inside {self._describe_holder()} already; "
                "use another session: open_session()"
            )
        if not self._lock.acquire(deadline, action, frame):
            raise SessionBusy(
                f"{self._what} is busy: {self._describe_holder()}; "
                "wait longer (timeout=), or use a session of your own: open_session()"
            )

    def try_acquire(self, action: str) -> bool:
        """Take the lock for the calling frame if it is free now, and return whether it was."""
        try:
            self.acquire(action, Deadline.grace(0), sys._getframe(1))
        except SessionBusy:
            return False
        return True

    def release(self, frame: FrameType | None = None) -> None:
        """Give the lock back, and wake one thread that waits for it."""
        self._lock.release(frame or sys._getframe(1))

    @property
    def is_held(self) -> bool:
        """Whether somebody has it at the moment."""
        return self._lock.holder is not None

    def _describe_holder(self) -> str:
        holder = self._lock.holder
        if holder is None:
            return "another call"
        return f"{holder.action} of thread {holder.thread_name!r}, for {monotonic() - holder.since:.1f} s now"


class Hold:
    """Holds an `OwnedLock` for a block."""

    def __init__(self, lock: OwnedLock, action: str, deadline: Deadline) -> None:
        self._lock = lock
        self._action = action
        self._deadline = deadline
        self._frame: FrameType | None = None

    def __enter__(self) -> None:
        self._frame = sys._getframe(1)
        self._lock.acquire(self._action, self._deadline, self._frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        frame, self._frame = self._frame, None
        self._lock.release(frame)
