"""What Paramiko stands on: sockets that never block it for long, and that notice a dead far end.

Paramiko runs one thread per connection, which reads. All that must happen in the background happens on that thread,
between two reads: see `Link.recv`.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic

from .._channel.tcp import Stream

SLICE = 0.2
"""Seconds of a read at most, until the reading thread looks around."""
_READ_SIZE = 64 << 10
_SEND_WAIT = 0.1


class Link:
    """The socket of one Paramiko transport.

    Once it is told to `watch`, it counts how long nothing arrives. After `interval` seconds it asks for a sign of life,
    after `count` times that it ends, and everybody who waits on the connection with it. Time in which this process or
    machine was suspended is no silence. Once ended, it reads as the end of the stream, and `reason` says why.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.first_bytes = b""
        """The first bytes that arrived: what is there when it is no SSH server."""
        self.housekeep: Callable[[], None] = lambda: None
        """Called between two reads."""
        self.ping: Callable[[], None] = lambda: None
        """Called when nothing arrived for long: it sends what must be answered."""
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
        self._broken = ""
        """Why nothing can be sent any more."""
        self._sending = threading.Lock()
        self._pid = os.getpid()
        _links.add(self)

    def watch(self, interval: float, count: int = 3) -> None:
        """Start the keepalive watchdog. While connecting, the connect deadline applies instead."""
        self._interval, self._count, self._quiet, self._pings = interval, count, 0.0, 0

    @property
    def _closed(self) -> bool:
        """Paramiko looks at it, as at a socket's, when the interpreter ends before its thread."""
        return self.ended

    def settimeout(self, seconds: float) -> None:
        """Paramiko asks for its own pace; ours is SLICE."""

    def recv(self, size: int) -> bytes:
        """The next bytes. A time-out lets Paramiko look around, and is our own time to do so."""
        if not self._ahead:
            self._ahead = memoryview(self._receive())
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return bytes(taken)

    def _receive(self) -> bytes:
        self.housekeep()
        if self._unsent:
            with self._sending:
                self._flush(0)
        started = monotonic()
        try:
            data = b"" if self.ended else self.stream.receive(_READ_SIZE, SLICE)
        except OSError as error:
            self.end(error.strerror or str(error))
            data = b""
        if data is None:
            self._nothing_arrived(min(monotonic() - started, 2 * SLICE))
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
        """Send `data`, or keep what the far end does not take soon; it goes out before anything else does."""
        with self._sending:
            if self.ended or self._broken:
                raise EOFError
            patience = 0 if self._unsent else _SEND_WAIT
            self._unsent += data
            self._flush(patience)
        return len(data)

    @property
    def writable(self) -> bool:
        """Whether all that was to be sent is on its way."""
        if self._unsent:
            with self._sending:
                self._flush(0)
        return not self._unsent

    def _flush(self, patience: float) -> None:
        try:
            while self._unsent and not self.ended:
                sent = self.stream.send(bytes(self._unsent[:_READ_SIZE]), patience)
                if not sent:
                    return
                del self._unsent[:sent]
        except OSError as error:
            # What arrived before is still to be read: the reading thread finds the end behind it.
            self._broken = error.strerror or str(error)
            self._unsent.clear()

    def end(self, reason: str) -> None:
        """End the link, and say why unless it has ended already."""
        if not self.ended and os.getpid() == self._pid:
            self.reason, self.ended = reason, True
            self.stream.shutdown()

    def close(self) -> None:
        """End the link; its descriptors go when nobody reads any more."""
        if os.getpid() != self._pid:
            return
        self.end("")
        thread = self.thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            with self._sending:
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
