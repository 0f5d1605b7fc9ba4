"""The socket below Paramiko: it never blocks for long, and notices when the server is dead.

Paramiko runs one thread per connection, which reads. Everything that must happen in the background happens on that
thread, between two reads: see `Link.recv`.
"""

from __future__ import annotations

import math
import os
import select
import threading
import weakref
from collections.abc import Callable
from time import monotonic

from .._channel.tcp import Stream
from ..limits import SSH_READ_WAIT, SSH_SEND_WAIT, SSH_SOCKET_READ


class Link:
    """The socket of one Paramiko transport.

    After `watch`, it counts the seconds in which nothing arrives. After `interval` seconds it asks the server for a
    sign of life. After `count` times that it ends, and everybody who waits on the connection gets an error. Time in
    which this process or machine was suspended does not count. Once ended, it reads as the end of the stream, and
    `reason` says why.

    Paramiko's thread reads; any thread sends, or ends the link.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.first_bytes = b""
        """The first bytes that arrived: they show what answers, if it is not an SSH server."""
        self.housekeep: Callable[[], None] = lambda: None
        """Called between two reads."""
        self.ping: Callable[[], None] = lambda: None
        """Called after a silence: it sends something that the server must answer."""
        self.idle: Callable[[], bool] = lambda: False
        """Asked while nothing arrives; True ends the link as no longer needed."""
        self.thread: threading.Thread | None = None
        self.ended = False
        self.reason = ""
        """Why the link ended, when it knows."""
        self._interval = math.inf
        self._count = 3
        self._quiet = 0.0
        self._pings = 0
        self._ahead = memoryview(b"")
        self._unsent = bytearray()
        self._is_flushing = False
        self._broken = ""
        """Why nothing can be sent any more."""
        self.sending = threading.RLock()
        """Held by the thread that sends."""
        self._pid = os.getpid()
        _links.add(self)

    def watch(self, interval: float, count: int = 3) -> None:
        """Start the keepalive watchdog. While connecting, the connect deadline applies instead."""
        self._interval, self._count, self._quiet, self._pings = interval, count, 0.0, 0

    @property
    def _closed(self) -> bool:
        """Paramiko asks for it, as a socket has it, when the interpreter ends before Paramiko's thread."""
        return self.ended

    def settimeout(self, seconds: float) -> None:
        """Paramiko sets its own pace; ours is SSH_READ_WAIT."""

    def recv(self, size: int) -> bytes:
        """Return the next bytes. Raises `TimeoutError` after SSH_READ_WAIT: Paramiko then sees whether to end."""
        if not self._ahead:
            self._ahead = memoryview(self._receive())
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return bytes(taken)

    def _receive(self) -> bytes:
        self.housekeep()
        if self._unsent:
            with self.sending:
                self._flush(0)
        started = monotonic()
        try:
            data = b"" if self.ended else self.stream.receive(SSH_SOCKET_READ, SSH_READ_WAIT)
        except OSError as error:
            self.end(error.strerror or str(error))
            data = b""
        if data is None:
            # Not more than twice what the read may wait: if it took longer, this process was suspended, and the server
            # may have answered long ago.
            self._nothing_arrived(min(monotonic() - started, 2 * SSH_READ_WAIT))
            raise TimeoutError
        if data:
            self._quiet, self._pings = 0.0, 0
            if len(self.first_bytes) < 256:
                self.first_bytes += data[:256]
        else:
            self.end(self._broken or self.stream.reason())
        return data

    def _nothing_arrived(self, seconds: float) -> None:
        self._quiet += seconds
        if self._quiet >= self._count * self._interval:
            self.end(f"no answer for {self._quiet:.1f} s")
        elif self._quiet >= (self._pings + 1) * self._interval:
            self._pings += 1
            self.ping()
        if self.idle():
            self.end("no longer needed")

    def send(self, data: bytes) -> int:
        """Send `data`, or keep what the server does not take soon: it goes out before anything else.

        Paramiko would wait here for as long as the server takes no bytes, and hold its lock: then nobody could send,
        or close, under a deadline of its own.
        """
        with self.sending:
            if self.ended or self._broken:
                raise EOFError
            patience = 0 if self._unsent else SSH_SEND_WAIT
            self._unsent += data
            self._flush(patience)
        return len(data)

    @property
    def hung_up(self) -> bool:
        """Whether the server has ended the connection; mostly known before the thread that reads finds out."""
        if self.ended:
            return True
        if not hasattr(select, "poll"):  # eventlet takes it away
            return False
        # Where a kernel has no such event, as on macOS, the end of one direction is POLLHUP already.
        poll = select.poll()
        poll.register(self.stream.fileno(), getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    @property
    def writable(self) -> bool:
        """Whether all that was to be sent is on its way."""
        if self._unsent:
            with self.sending:
                self._flush(0)
        return not self._unsent

    def _flush(self, patience: float) -> None:
        """Send what was kept. Holds the lock."""
        if self._is_flushing:  # the thread that had begun was interrupted: what it has sent would go out twice
            self.end("a call was interrupted while it sent")
            return
        self._is_flushing = True
        try:
            while self._unsent and not self.ended:
                sent = self.stream.send(bytes(self._unsent[:SSH_SOCKET_READ]), patience)
                if not sent:
                    break
                del self._unsent[:sent]
        except OSError as error:
            # What arrived before is still to be read: the reading thread finds the end after it.
            self._broken = error.strerror or str(error)
            self._unsent.clear()
        self._is_flushing = False

    def end(self, reason: str) -> None:
        """End the link from any thread, and keep the reason unless it has ended already.

        The descriptors stay open: the reading thread may be about to use them, and would read from another file that
        got the same number.
        """
        if not self.ended and os.getpid() == self._pid:
            self.reason, self.ended = reason, True
            self.stream.shutdown()

    def close(self) -> None:
        """End the link, and close its descriptors if no thread reads any more; else that thread does."""
        if os.getpid() != self._pid:
            return
        self.end("")
        thread = self.thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            with self.sending:
                self.stream.close()

    def close_in_child(self) -> None:
        """In a forked child: drop the copies of the descriptors; the connection is the parent's."""
        self.ended = True
        self.stream.close_in_child()


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _close_links_in_child() -> None:
    for link in list(_links):
        link.close_in_child()


os.register_at_fork(after_in_child=_close_links_in_child)
