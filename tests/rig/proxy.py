"""A TCP proxy that misbehaves when told to."""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import threading
import time

BLOCK = 65536


class Proxy:
    """Stands between a client and a port of this machine, on `port`, in its own thread.

    >>> with Proxy(sshd.port) as proxy:
    ...     proxy.stall()
    """

    host = "127.0.0.1"

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.connections = 0
        """How many connections were accepted so far."""
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._block = memoryview(bytearray(BLOCK))
        self._peers: dict[socket.socket, socket.socket] = {}
        self._ended: set[socket.socket] = set()
        """Got an end of file from us; what they still send is thrown away until they close."""
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = 0
        self._stalled = False
        self._refusing = False
        self._delay = 0.0
        self._budget: int | None = None
        self._resetting = True
        self._closed = False
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._listener, self._wake_out):
            self._selector.register(end, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work, name="proxy", daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Pass no more bytes on, and keep the connections open: a peer that is alive and says nothing."""
        self._set(stalled=True)

    def resume(self) -> None:
        """End a `stall`. Nothing was lost."""
        self._set(stalled=False)

    def delay(self, seconds: float) -> None:
        """Pass each block on this much later, in each direction. What is on its way already keeps its delay."""
        self._set(delay=seconds)

    def drop(self) -> None:
        """Reset all present connections."""
        with self._lock:
            for end in list(self._peers):
                self._end(end, reset=True)

    def drop_after(self, size: int, *, reset: bool = True) -> None:
        """Reset the connections after `size` more bytes from the target.

        A reset discards what is still on its way to the client. With ``reset=False`` all of that arrives, then the
        end of file.
        """
        self._set(budget=size, resetting=reset)

    def refuse(self) -> None:
        """Reset every new connection at once."""
        self._set(refusing=True)

    def accept(self) -> None:
        """End a `refuse`."""
        self._set(refusing=False)

    def close(self) -> None:
        """End the thread and the connections. Idempotent."""
        if not self._closed:
            self._set(closed=True)
            self._thread.join(10)
            for end in (self._listener, self._wake_in, self._wake_out, *self._peers, *self._ended):
                end.close()
            self._selector.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _set(self, **state: object) -> None:
        with self._lock:
            for name, value in state.items():
                setattr(self, f"_{name}", value)
            if "stalled" in state:
                for end in self._peers:
                    self._watch(end)
        self._wake_in.send(b".")

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._closed:
                    return
                wait = None if not self._waiting or self._stalled else max(0.0, self._waiting[0][0] - time.monotonic())
            ready = self._selector.select(wait)
            with self._lock:
                for key, _ in ready:
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    if end is self._listener:
                        self._accept_one()
                    elif end is self._wake_out:
                        end.recv(BLOCK)
                    elif end in self._ended:
                        self._discard(end)
                    elif end in self._peers and not self._stalled:
                        self._take(end)
                while self._waiting and not self._stalled and self._waiting[0][0] <= time.monotonic():
                    _, _, end, data = heapq.heappop(self._waiting)
                    self._give(end, data)

    def _accept_one(self) -> None:
        near, _ = self._listener.accept()
        self.connections += 1
        if self._refusing:
            _reset(near)
            return
        try:
            far = socket.create_connection((self.host, self.target_port))
        except OSError:
            _reset(near)
            return
        for end, other in ((near, far), (far, near)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[end] = other
            self._watch(end)

    def _watch(self, end: socket.socket) -> None:
        watched = end in self._selector.get_map()
        if self._stalled and watched:
            self._selector.unregister(end)
        elif not self._stalled and not watched:
            self._selector.register(end, selectors.EVENT_READ)

    def _take(self, end: socket.socket) -> None:
        """Read a block, and let it wait for its time."""
        try:
            data = bytes(self._block[: end.recv_into(self._block)])
            from_target = bool(data) and end.getpeername()[1] == self.target_port
        except OSError:
            self._end(end, reset=True)
            return
        if from_target and self._budget is not None:
            data, self._budget = data[: self._budget], self._budget - len(data)
        if (not data and self._budget is None) or data:
            self._count += 1
            other = self._peers[end]
            # Not before what is on its way already: a shorter delay must not let anything overtake.
            due = max([time.monotonic() + self._delay, *(due for due, _, to, _ in self._waiting if to is other)])
            heapq.heappush(self._waiting, (due, self._count, other, data))
        if self._budget is not None and self._budget <= 0:
            for _, _, other, rest in sorted(self._waiting):
                self._give(other, rest)
            self._waiting.clear()
            self._budget = None
            for other in list(self._peers):
                self._end(other, reset=self._resetting)

    def _give(self, end: socket.socket, data: bytes) -> None:
        if end not in self._peers:
            return
        try:
            if data:
                end.sendall(data)
            else:
                self._end(end, reset=False)
        except OSError:
            self._end(end, reset=True)

    def _discard(self, end: socket.socket) -> None:
        """Read what an ended connection still sends; close it when the peer has."""
        try:
            more = end.recv_into(self._block)
        except OSError:
            more = 0
        if not more:
            self._ended.remove(end)
            self._selector.unregister(end)
            end.close()

    def _end(self, end: socket.socket, *, reset: bool) -> None:
        """End a connection on both sides."""
        for side in (end, self._peers.get(end)):
            if side is None or self._peers.pop(side, None) is None:
                continue
            watched = side in self._selector.get_map()
            if reset:
                if watched:
                    self._selector.unregister(side)
                _reset(side)
                continue
            # Not closed: the kernel answers what arrives at a closed socket with a reset, and a peer that is reset
            # may lose what it has not read.
            try:
                side.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the peer was quicker; `_discard` sees it
            self._ended.add(side)
            if not watched:
                self._selector.register(side, selectors.EVENT_READ)


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
