"""The seam between hosts and whatever carries their bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from ..deadline import Deadline, DeadlineExpired
from ..limits import WRITE_POLL

KILL_STATUS = 128 + 9
"""The exit status of a process that was killed."""

NO_SESSION_STATUS = 254
"""What OpenSSH's server ends a channel with when PAM has opened no session for the login."""

SIZE = (200, 50)
"""Columns and rows of a session's terminal: wide, so that programs do not cut lines that are there to be parsed."""


class Chunk(NamedTuple):
    """Bytes that arrived; both empty is the end of the process's output."""

    out: bytes = b""
    err: bytes = b""

    @property
    def ended(self) -> bool:
        return not self.out and not self.err


class Channel(ABC):
    """The bytes of one process somewhere.

    One thread at a time reads and writes; `close` and `interrupt` may be called from any thread. A link that dies
    raises `ConnectionLost` from `read` and `write_some`, after everything that arrived before has been read.
    """

    tty: bool
    """Whether the process has a terminal: stdout and stderr are then one, and lines end as the tty ends them."""

    @abstractmethod
    def read(self, deadline: Deadline) -> Chunk:
        """Wait for bytes on either stream and return all that are there (at most about 1 MiB).

        An empty `Chunk` is the end of both streams, also after `close` from another thread. Raises `DeadlineExpired`,
        also when the call is cancelled; with no time left, returns what is already there or raises.
        """

    @abstractmethod
    def write_some(self, data: bytes) -> int:
        """Write as many bytes as the process accepts now, without waiting, and return how many (0 or more)."""

    @abstractmethod
    def write_eof(self) -> None:
        """End the process's stdin. Does nothing on a tty, where ^D at the start of a line does."""

    @abstractmethod
    def resize(self, columns: int, rows: int) -> None:
        """Tell the process's terminal its size."""

    @abstractmethod
    def exit_status(self, deadline: Deadline) -> int | None:
        """The exit status, to be asked for after the end of the output; None when nobody knows it.

        Death by signal n reads 128 + n. Raises `DeadlineExpired` when it does not arrive in time.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the process, and wake the thread that reads. Does not wait, does not raise. Idempotent."""

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Write all of `data`. Only for a process that reads its input even if nobody reads its output."""
        if deadline.cancelled:
            # A process that was stopped, and lost its reservation meanwhile, may go on exactly here.
            raise DeadlineExpired
        view = memoryview(data)
        while view:
            taken = self.write_some(bytes(view[:65536]))
            view = view[taken:]
            if not taken:
                deadline.check()
                self.pause(deadline.at_most(WRITE_POLL))

    @abstractmethod
    def pause(self, deadline: Deadline) -> None:
        """Wait until `deadline`, or until the channel closes: `write` does so between two attempts."""
