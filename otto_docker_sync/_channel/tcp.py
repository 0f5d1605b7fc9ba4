"""TCP connections to a host, made and used under a deadline."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError

PATIENCE = 45.0


class Dropped(ConnectError):
    """The far end took the connection, and ended it before it said a word."""


class Stream(Protocol):
    """The bytes below an SSH connection."""

    def receive(self, size: int, timeout: float) -> bytes | None:
        """What arrives within `timeout`; None is nothing, empty is the end."""

    def send(self, data: bytes, timeout: float) -> int:
        """Send what can be sent within `timeout`, and return how much."""

    def shutdown(self) -> None:
        """End both directions, and with them a `receive` in another thread."""

    def close(self) -> None:
        """Let go of the descriptors; nobody uses the stream any more."""

    def forget(self) -> None:
        """In a forked child: let go of the copies of descriptors, and touch nothing that the parent shares."""

    def reason(self) -> str:
        """Why the stream ended, as far as it knows."""

    def fileno(self) -> int:
        """A descriptor that is readable when `receive` has something to tell."""


class TunnelOpener(Protocol):
    """A host that opens TCP connections from where it stands: a hop."""

    def open_tunnel(self, host: str, port: int, deadline: Deadline) -> Stream:
        """Connect from this host to another one. Raises `ConnectError` and its kin."""


class SocketStream:
    """A connected socket, or the one end of a proxy command. One thread at a time receives."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._socket = sock
        self._process = process
        # Bytes that are shrunk to what arrived would leave memory in shreds, of which none fits the next ones.
        self._arriving = memoryview(b"")
        sock.setblocking(False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(sock, select.POLLIN)
        self._writable.register(sock, select.POLLOUT)

    def receive(self, size: int, timeout: float) -> bytes | None:
        if len(self._arriving) < size:
            self._arriving = memoryview(bytearray(size))
        for attempt in (1, 2):
            try:
                return bytes(self._arriving[: self._socket.recv_into(self._arriving[:size])])
            except (BlockingIOError, InterruptedError):
                if attempt == 2 or not self._readable.poll(timeout * 1000):
                    return None
        return None

    def send(self, data: bytes, timeout: float) -> int:
        for attempt in (1, 2):
            try:
                return self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                if attempt == 2 or not timeout or not self._writable.poll(timeout * 1000):
                    return 0
        return 0

    def shutdown(self) -> None:
        with suppress(OSError):  # the far end may have been first
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def forget(self) -> None:
        self._socket.close()

    def reason(self) -> str:
        return "the far end closed the connection"

    def fileno(self) -> int:
        return self._socket.fileno()


def dial_tcp(
    host: str, port: int, where: str, deadline: Deadline, daemon: str = "sshd", patience: float = PATIENCE
) -> Stream:
    """Connect to the first address of `host` that answers.

    `patience` is how long sent bytes may go without an answer of the far end's kernel. Raises `ConnectError` (where
    the far end drops the connection at once, `Dropped`), or `DeadlineExpired` with what was waited for.
    """
    addresses = _resolve(host, port, where, deadline)
    failures = []
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        remaining = deadline.remaining()
        share = deadline if remaining is None else deadline.at_most(remaining / (len(addresses) - position))
        try:
            sock = _connect(socket.socket(family, kind, protocol), address, share)
        except DeadlineExpired:
            if deadline.expired:
                raise
            failures.append(f"{address[0]}: no answer")
        except ConnectionResetError as error:
            raise Dropped(f"{where} ends a connection at once: {error.strerror}") from None
        except OSError as error:
            failures.append(f"{address[0]}: {error.strerror or error}")
        else:
            _tune(sock, patience)
            return SocketStream(sock)
    raise ConnectError(
        f"{where} cannot be reached: {'; '.join(failures)}. Check host=, port= and that its {daemon} runs."
    )


def _connect(sock: socket.socket, address: object, deadline: Deadline) -> socket.socket:
    waker, woken = socket.socketpair()
    with waker, woken:
        try:
            sock.setblocking(False)
            code = sock.connect_ex(address)  # type: ignore[arg-type]  # as getaddrinfo made it
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.register(woken, select.POLLIN)
            with deadline.waking(partial(_wake, waker)):
                remaining = deadline.remaining()
                ready = poll.poll(None if remaining is None else remaining * 1000)
            if sock.fileno() not in [descriptor for descriptor, _ in ready]:
                raise DeadlineExpired("no answer to the TCP connection")
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            return sock
        except BaseException:
            sock.close()
            raise


def _wake(waker: socket.socket) -> None:
    with suppress(OSError):  # the connection may be there by now
        waker.send(b"x")


def _tune(sock: socket.socket, patience: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * patience))


def _resolve(
    host: str, port: int, where: str, deadline: Deadline
) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    """The addresses of a name. The resolver knows no time-out, so it is left behind where the deadline ends first."""
    found: list[object] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        done.set()

    thread = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    thread.start()
    with deadline.waking(done.set):
        done.wait(deadline.remaining())
    if not found:
        raise DeadlineExpired(f"the name {host} was not resolved")
    thread.join()
    if isinstance(found[0], Exception):
        why = getattr(found[0], "strerror", None) or found[0]
        raise ConnectError(f"{where} cannot be reached: no address for {host!r}: {why}. Check host=.") from found[0]
    return found[0]  # type: ignore[return-value]  # what getaddrinfo gives


def dial_command(command: str) -> Stream:
    """Start a ProxyCommand and talk to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            ["sh", "-c", command], stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True
        )
    return SocketStream(ours, process)
