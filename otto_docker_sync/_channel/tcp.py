"""TCP connections, opened and used under a deadline."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import Protocol

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError
from ..limits import QUICK_ACKS, USER_TIMEOUT
from ..locks import Signal, start_thread
from .descriptors import Selector, select


class DroppedBeforeBanner(ConnectError):
    """The server accepted the connection, and closed it before it sent anything: another attempt may succeed."""


class Stream(Protocol):
    """A two-way stream of bytes, below an SSH or telnet connection: a socket, a proxy command, or a tunnel."""

    may_be_retried: bool
    """Whether another attempt makes sense when the stream ends before the first byte."""

    @property
    def ended(self) -> bool:
        """Whether both directions are known to be over; False where that shows only when something is sent."""

    def receive(self, size: int, timeout: float) -> bytes | None:
        """Return what arrives within `timeout` seconds: None is nothing, empty bytes are the end of the stream."""

    def send(self, data: bytes, timeout: float) -> int:
        """Send what can be sent within `timeout` seconds, and return the number of bytes."""

    def end_sending(self) -> None:
        """End our direction only: the other side reads the end of the stream, and may go on sending."""

    def shutdown(self) -> None:
        """End both directions. A `receive` in another thread returns."""

    def close(self) -> None:
        """Close the descriptors. The caller makes sure that no thread uses the stream."""

    def close_in_child(self) -> None:
        """In a forked child: close the copies of the descriptors, and do nothing that the parent would notice."""

    def reason(self) -> str:
        """Return why the stream ended, if that is known."""

    def complaint(self) -> str:
        """Return what the program below the stream wrote last to stderr; "" if there is no program."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `receive` would return something."""


class ForwardingForbidden(ConnectError):
    """The configuration of a host's SSH server forbids to connect on from it."""


class NotReachedFromHost(ConnectError):
    """A host was reached, and could not connect on from there."""


class TunnelOpener(Protocol):
    """A hop: it opens TCP connections from its own place in the network."""

    def open_tunnel(self, host: str, port: int, deadline: Deadline) -> Stream:
        """Connect from this host to another one. Raises `ConnectError` and its subclasses."""


class SocketStream:
    """A connected socket. One thread at a time receives.

    The first `quick_acks` reads are acknowledged at once. Until its first session, an sshd sends no small packet before
    the one ahead of it was acknowledged (Nagle), and a kernel takes some 40 ms for that.
    """

    may_be_retried = True

    def __init__(self, sock: socket.socket, *, quick_acks: int = 0) -> None:
        self._socket = sock
        self._quick_acks = quick_acks if hasattr(socket, "TCP_QUICKACK") else 0  # only Linux has it
        # One buffer for all reads. A new one for each, cut down to what arrived, fragments the memory, and the process
        # grows.
        self._arriving = memoryview(b"")
        sock.setblocking(False)  # noqa: FBT003 (it takes no keyword)
        self._readable, self._writable = Selector(), Selector()
        self._readable.register(sock.fileno(), selectors.EVENT_READ)
        self._writable.register(sock.fileno(), selectors.EVENT_WRITE)

    @property
    def ended(self) -> bool:
        return False

    def receive(self, size: int, timeout: float) -> bytes | None:
        if len(self._arriving) < size:
            self._arriving = memoryview(bytearray(size))
        for attempt in (1, 2):
            try:
                data = bytes(self._arriving[: self._socket.recv_into(self._arriving[:size])])
                if self._quick_acks:
                    self._quick_acks -= 1
                    # Each time, because the kernel goes back to its own pace after a few packets.
                    self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                return data
            except (BlockingIOError, InterruptedError):
                if attempt == 2 or not self._readable.select(timeout):
                    return None
        return None

    def send(self, data: bytes, timeout: float) -> int:
        for attempt in (1, 2):
            try:
                return self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                if attempt == 2 or not timeout or not self._writable.select(timeout):
                    return 0
        return 0

    def end_sending(self) -> None:
        with suppress(OSError):  # the other side may have ended the connection
            self._socket.shutdown(socket.SHUT_WR)

    def shutdown(self) -> None:
        with suppress(OSError):  # the other side may have been first
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def close_in_child(self) -> None:
        self._socket.close()

    def reason(self) -> str:
        return "the remote side closed the connection"

    def complaint(self) -> str:
        return ""

    def fileno(self) -> int:
        return self._socket.fileno()


def dial_tcp(
    host: str,
    port: int,
    where: str,
    deadline: Deadline,
    *,
    daemon: str = "sshd",
    user_timeout: float = USER_TIMEOUT,
    bind_address: str = "",
    family: int = socket.AF_UNSPEC,
) -> Stream:
    """Connect to the first address of `host` that answers, of the `family` and from `bind_address` where one is given.

    `where` names the target in errors, `daemon` the program that should listen there. `user_timeout` is how many
    seconds the remote kernel may leave sent bytes without an answer. Raises `DroppedBeforeBanner` if the server closes
    the connection at once, `ConnectError` if there is none, or `DeadlineExpired` with what was waited for.
    """
    addresses = _resolve(host, port, family, where, deadline)
    failures = []
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        # Each address gets its share of the time that is left: one that swallows packets must not use it all up.
        remaining = deadline.remaining()
        share = deadline if remaining is None else deadline.at_most(remaining / (len(addresses) - position))
        try:
            sock = _connect(socket.socket(family, kind, protocol), address, bind_address, share)
        except DeadlineExpired:
            if deadline.expired:
                raise
            failures.append(f"{address[0]}: no answer")
        except ConnectionResetError as error:
            raise DroppedBeforeBanner(f"{where} closed the connection at once: {error.strerror}") from None
        except OSError as error:
            failures.append(f"{address[0]}: {error.strerror or error}")
        else:
            _tune(sock, user_timeout)
            return SocketStream(sock, quick_acks=QUICK_ACKS)
    raise ConnectError(
        f"{where} cannot be reached: {'; '.join(failures)}. Check host=, port= and that its {daemon} runs."
    )


def _connect(sock: socket.socket, address: object, bind_address: str, deadline: Deadline) -> socket.socket:
    waker, woken = socket.socketpair()
    with waker, woken:
        try:
            sock.setblocking(False)  # noqa: FBT003 (it takes no keyword)
            if bind_address:
                _bind(sock, bind_address)
            code = sock.connect_ex(address)  # type: ignore[arg-type]  # as getaddrinfo made it
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            with deadline.waking(partial(_wake, waker)):
                ready = select(deadline.remaining(), [woken.fileno()], [sock.fileno()])
            if sock.fileno() not in ready:
                raise DeadlineExpired("no answer to the TCP connection")
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            return sock
        except BaseException:
            sock.close()
            raise


def _bind(sock: socket.socket, address: str) -> None:
    try:
        found = socket.getaddrinfo(address, 0, sock.family, sock.type, flags=socket.AI_PASSIVE)
        sock.bind(found[0][4])
    except OSError as error:
        raise OSError(error.errno, f"BindAddress {address} cannot be used: {error.strerror or error}") from error


def _wake(waker: socket.socket) -> None:
    with suppress(OSError):  # `_connect` may have ended already, and closed it
        waker.send(b"x")


def _tune(sock: socket.socket, user_timeout: float) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # only Linux has it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * user_timeout))


def _resolve(
    host: str, port: int, family: int, where: str, deadline: Deadline
) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    """Return the addresses of a name.

    The system's resolver has no timeout. So it runs in a thread of its own, which is abandoned if the deadline ends
    first.
    """
    found: list[object] = []
    done = Signal()

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        done.set()

    thread = threading.Thread(target=look_up, name=f"resolve {host}", daemon=True)
    start_thread(thread)
    with deadline.waking(done.set):
        done.wait(deadline.remaining())
    if not found:
        raise DeadlineExpired(f"the name {host} was not resolved")
    thread.join()
    if isinstance(found[0], Exception):
        why = getattr(found[0], "strerror", None) or found[0]
        raise ConnectError(f"{where} cannot be reached: no address for {host!r}: {why}. Check host=.") from found[0]
    return found[0]  # type: ignore[return-value]  # what getaddrinfo gives
