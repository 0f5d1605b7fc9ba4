"""File descriptors that one thread waits for. Any thread may wake it, or close the descriptors."""

from __future__ import annotations

import errno
import os
import selectors
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress

from ..deadline import Deadline, wait_times
from ..errors import OttoError

# poll() has no limit on descriptor numbers. On macOS it does not work for terminals, and eventlet takes it away.
Selector: type[selectors.BaseSelector] = selectors.SelectSelector
if sys.platform == "linux" and hasattr(selectors, "PollSelector"):
    Selector = selectors.PollSelector


class Descriptors:
    """The descriptors that a channel owns, in ``owned``. `close` closes them as soon as no thread uses them.

    Without that, a thread could read from a number that the system has just given to another file.

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
        """Keep all descriptors open during the block, even if another thread calls `close`.

        A `wait` in the block ends when the call of `deadline` is cancelled. Yields False if they are closed already.
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
        """Return the descriptors that are ready; none after `timeout` seconds, or when another thread woke this one."""
        ready = select(timeout, [self._woken, *readers], writers)
        if self._woken not in ready:
            return ready
        if not self.closed:
            os.read(self._woken, 4096)
        return []

    def pause(self, timeout: float | None, writers: Sequence[int] = ()) -> None:
        """Wait until one of `writers` can be written, `timeout` seconds are over, or `close` was called.

        It may end early. It leaves a wake-up to the thread that is in `wait`.
        """
        select(timeout, [self._woken], writers)

    def wake(self) -> None:
        """End the `wait` of another thread."""
        # Under the lock, because after `close` the number may belong to another file.
        with self._lock:
            if not self.closed:
                self._ring()

    def close(self) -> None:
        """Wake the threads that wait, and close everything when no thread uses it. Does not wait. Idempotent."""
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
    """Return the descriptors that are ready before `timeout` seconds are over; None waits forever."""
    with Selector() as selector:
        for fd in {*readers, *writers}:
            selector.register(fd, selectors.EVENT_READ * (fd in readers) | selectors.EVENT_WRITE * (fd in writers))
        for seconds in wait_times(timeout):
            if ready := selector.select(seconds):
                return [key.fd for key, _ in ready]
        return []


@contextmanager
def explain_no_descriptors(what: str) -> Iterator[None]:
    """Turn the system's error for too many open files into one of ours, which says `what` cannot be done."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OttoError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        raise OttoError(
            f"{what}: {error.strerror}. This program has as many files and connections open as it may; "
            "close some, or raise its limit (ulimit -n)"
        ) from error


def pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Return the two ends of a new pipe; each is closed by its stack."""
    read_end, write_end = os.pipe()
    reader.callback(os.close, read_end)
    writer.callback(os.close, write_end)
    return read_end, write_end
