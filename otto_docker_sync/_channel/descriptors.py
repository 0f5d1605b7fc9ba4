"""Descriptors that one thread waits for, while any thread may wake it or close them."""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress

from ..deadline import Deadline

# poll() has no limit on descriptor numbers; on macOS it does not work for terminals.
Selector = selectors.PollSelector if sys.platform == "linux" else selectors.SelectSelector


class Descriptors:
    """What a channel owns in ``owned``, closed by `close` as soon as no thread uses it any more.

    >>> with descriptors.using(deadline) as usable:
    ...     ready = usable and descriptors.wait(deadline.remaining(), [fd])
    """

    def __init__(self) -> None:
        self.owned = ExitStack()
        self.closed = False
        self._lock = threading.Lock()
        self._users = 0
        self._woken, self._waker = pipe(self.owned, self.owned)
        os.set_blocking(self._waker, False)

    @contextmanager
    def using(self, deadline: Deadline | None = None) -> Iterator[bool]:
        """Keep all open during the block, whoever closes, and wake when the deadline's call is cancelled.

        Gives False when they are closed already.
        """
        with self._lock:
            usable = not self.closed
            self._users += 1
        try:
            with deadline.waking(self.wake) if deadline else nullcontext():
                yield usable
        finally:
            with self._lock:
                self._users -= 1
                self._release_when_idle()

    def wait(self, timeout: float | None, readers: Sequence[int], writers: Sequence[int] = ()) -> list[int]:
        """Return those that are ready; none when time is over, or when another thread woke us."""
        ready = select(timeout, [self._woken, *readers], writers)
        if self._woken not in ready:
            return ready
        if not self.closed:
            os.read(self._woken, 4096)
        return []

    def pause(self, timeout: float | None, writers: Sequence[int] = ()) -> None:
        """Wait until one can be written, time is over, or all is closed. May end early, and takes no `wait`'s wake."""
        select(timeout, [self._woken], writers)

    def wake(self) -> None:
        """End a wait of another thread."""
        with self._lock:  # a late waker must not write to a descriptor that is somebody else's by now
            if not self.closed:
                self._ring()

    def close(self) -> None:
        """Wake whoever waits, and close all when nobody uses it. Does not wait; twice is once."""
        with self._lock:
            if not self.closed:
                self.closed = True
                self._ring()
                self._release_when_idle()

    def _ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def _release_when_idle(self) -> None:
        if self.closed and not self._users:
            self.owned.close()


def select(timeout: float | None, readers: Sequence[int], writers: Sequence[int] = ()) -> list[int]:
    """Those of the descriptors that are ready before `timeout` seconds are over; None waits for ever."""
    with Selector() as selector:
        for fd in readers:
            selector.register(fd, selectors.EVENT_READ)
        for fd in writers:
            selector.register(fd, selectors.EVENT_WRITE)
        return [key.fd for key, _ in selector.select(timeout)]


def pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """The ends of a new pipe, each owned by its stack."""
    read_end, write_end = os.pipe()
    reader.callback(os.close, read_end)
    writer.callback(os.close, write_end)
    return read_end, write_end
