"""Forwards: a local port, or a local socket, that leads to one of a host.

One thread accepts, and each connection has a thread of its own, which carries both directions. So a connection that
waits for the remote side holds up no other.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

from ..deadline import Cancellation, Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError, OttoError
from ..limits import DIAL_TIME, FORWARD_CLOSE_TIME, FORWARD_PIECE, MAX_SOCKET_PATH, PROBE_TIME, WRITE_POLL
from ..locks import start_thread
from ..logs import HostLog
from .descriptors import Descriptors
from .tcp import Stream

if TYPE_CHECKING:
    from typing_extensions import Self


Dial = Callable[[Deadline], Stream]
_ForwardKind = TypeVar("_ForwardKind", bound="_BaseForward")


class _BaseForward:
    """Accepts connections on `listener`, and carries each to a stream that `dial` opens. Owns the listener."""

    def __init__(
        self, name: str, log: HostLog, listener: socket.socket, dial: Dial, on_close: Callable[[], None]
    ) -> None:
        self._name = name
        self._log = log
        self._listener = listener
        self._dial = dial
        self._on_close = on_close
        self._cancellation = Cancellation("the forward was closed")
        self._descriptors = Descriptors()
        self._descriptors.owned.callback(listener.close)
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        listener.setblocking(False)  # noqa: FBT003 (it takes no keyword)
        self._thread = threading.Thread(target=self._accept, name=f"forward {name}", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        start_thread(self._thread)

    def close(self) -> None:
        """Stop listening, end all connections, and wait for their threads. Idempotent; from any thread."""
        self._descriptors.close()
        self._cancellation.cancel()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()
        limit = Deadline.grace(FORWARD_CLOSE_TIME)
        for thread in (self._thread, *(connection.thread for connection in connections)):
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(limit.remaining())
        self._on_close()

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its host was."""
        return self._descriptors.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with self._descriptors.using() as usable:
            while usable and not self._descriptors.closed:
                if not self._descriptors.wait(None, [self._listener.fileno()]):
                    continue
                try:
                    sock, _ = self._listener.accept()
                except OSError:  # the client was gone already, or this process has no descriptor left
                    self._descriptors.pause(WRITE_POLL)
                    continue
                self._start(sock)

    def _start(self, sock: socket.socket) -> None:
        connection = _Connection(sock, self._carry, self._name)
        # Under the lock of `close`: either it finds the connection with its thread started, or no thread is started.
        with self._lock:
            if self._descriptors.closed:
                connection.close()
                return
            self._connections.add(connection)
            connection.thread.start()

    def _carry(self, connection: _Connection) -> None:
        try:
            deadline = Deadline.grace(DIAL_TIME).also(self._cancellation)
            connection.carry(self._dial(deadline))
        except DeadlineExpired:
            if not self.closed:
                self._log.event(f"forward of {self._name}: no answer within {DIAL_TIME:g} s", logging.WARNING)
            connection.reset()
        except OttoError as error:
            if not self.closed:
                self._log.event(f"forward of {self._name}: {error}", logging.WARNING)
            connection.reset()
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)


class Forward(_BaseForward):
    """A local port that leads to a port of a host, until it or its host is closed. Made by `Host.forward`.

    It listens on the loopback address of this machine only. Any thread may use it. A connection that cannot be carried
    on is reset, and the host's log says why.

    >>> with web.forward(8080) as forward:
    ...     urllib.request.urlopen(forward.url).read()
    """

    @property
    def port(self) -> int:
        """The local port."""
        number: int = self._port
        return number

    @property
    def url(self) -> str:
        """The address as that of a web page, ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._port}"

    def __init__(
        self, name: str, log: HostLog, listener: socket.socket, dial: Dial, on_close: Callable[[], None]
    ) -> None:
        self._port = listener.getsockname()[1]
        super().__init__(name, log, listener, dial, on_close)

    def __repr__(self) -> str:
        return f"<Forward of {self._name} on port {self._port}{' closed' if self.closed else ''}>"


class SocketForward(_BaseForward):
    """A local unix socket that leads to one of a machine, until it or its host is closed. By `UnixHost.forward_socket`.

    It has mode 0600 and lies in a directory of its own with mode 0700: whoever may open a forwarded docker socket is
    root on that machine. Any thread may use it.

    >>> with lab1.forward_socket("/var/run/docker.sock") as forward:
    ...     subprocess.run(["docker", "-H", forward.docker_host, "ps"])
    """

    path: str
    """The local socket."""

    def __init__(
        self, name: str, log: HostLog, path: str, listener: socket.socket, dial: Dial, on_close: Callable[[], None]
    ) -> None:
        self.path = path
        super().__init__(name, log, listener, dial, on_close)

    @property
    def docker_host(self) -> str:
        """The socket as docker clients want it, in ``DOCKER_HOST`` or as ``-H``."""
        return f"unix://{self.path}"

    def __repr__(self) -> str:
        return f"<SocketForward of {self._name} at {self.path}{' closed' if self.closed else ''}>"


def check_port(host_id: str, name: str, port: object) -> None:
    """Raise `ConfigError` unless the argument called `name` is the number of a port."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigError(f"{host_id}: {name}={port!r}: pass a number from 1 to 65535")


def check_route(connect: Callable[[int, Deadline], Stream], port: int, deadline: Deadline) -> None:
    """Raise if it is known at once that nothing can be forwarded to `port`, without disturbing who listens there.

    Port 0, on which nobody can listen, is tried: a refusal by the host's kernel shows that the way is open. Only after
    any other answer the true port is tried: a PermitOpen may allow no other, and the error then names it.
    """
    limit = deadline.at_most(PROBE_TIME)
    for probe in (0, port):
        try:
            connect(probe, limit).close()
            return
        except ConnectError as error:
            if "refused" in str(error):
                return
            if probe == port:
                raise
        except DeadlineExpired as late:
            deadline.check()
            raise ConnectError(f"no answer to a connection within {PROBE_TIME:g} s ({late or 'no route'})") from None


class Forwards:
    """The forwards of one host. It owns them."""

    def __init__(self, host_id: str, log: HostLog) -> None:
        self._host_id = host_id
        self._log = log
        self._lock = threading.Lock()
        self._open: set[_BaseForward] = set()

    def open_port(self, name: str, to: int | None, dial: Dial) -> Forward:
        """Listen on the local port `to`, any free one for None. Raises `ConfigError` for one that is in use."""
        try:
            listener = socket.create_server(("127.0.0.1", to or 0), backlog=128)
        except OSError as error:
            raise ConfigError(f"{self._host_id}: to={to}: the local port cannot be used: {error.strerror}") from error
        made = Forward(name, self._log, listener, dial, lambda: self._forget(made))
        return self._remember(made)

    def open_socket(self, name: str, dial: Dial) -> SocketForward:
        """Listen on a local unix socket in a directory of its own."""
        with ExitStack() as undo:
            directory = undo.enter_context(_private_directory())
            path = os.path.join(directory, "socket")
            listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(128)
            cleanup = undo.pop_all()

        def forget() -> None:
            cleanup.close()
            self._forget(made)

        made = SocketForward(name, self._log, path, listener, dial, forget)
        return self._remember(made)

    def close(self) -> None:
        """Close all. Idempotent."""
        with self._lock:
            open_now = list(self._open)
        for forward in open_now:
            forward.close()

    def _remember(self, forward: _ForwardKind) -> _ForwardKind:
        with self._lock:
            self._open.add(forward)
        # Only now: when this is interrupted, `close` knows of it.
        forward.start()
        return forward

    def _forget(self, forward: _BaseForward) -> None:
        with self._lock:
            self._open.discard(forward)


class _Connection:
    """One accepted connection, and the thread that carries it."""

    def __init__(self, sock: socket.socket, carry: Callable[[_Connection], None], name: str) -> None:
        self.thread = threading.Thread(target=carry, args=(self,), name=f"forward {name}", daemon=True)
        self._socket = sock
        self._descriptors = Descriptors()
        self._descriptors.owned.callback(sock.close)

    def carry(self, stream: Stream) -> None:
        """Carry bytes both ways until both directions have ended, or one side is gone. Closes `stream`."""
        with self._descriptors.using() as usable:
            try:
                if usable:
                    with suppress(OSError):  # one side is gone: nobody is left to tell
                        self._exchange(stream)
            finally:
                stream.shutdown()
                stream.close()

    def _exchange(self, stream: Stream) -> None:
        sock = self._socket
        sock.setblocking(False)  # noqa: FBT003 (it takes no keyword)
        if sock.family != socket.AF_UNIX:
            # Small answers must not wait for more to come: each side has put into a packet what belongs together.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What was read and could not be passed on yet, to the host and to the client. No more is read meanwhile, so a
        # slow reader slows the writer down, and memory stays bounded.
        up, down = b"", b""
        up_open = down_open = True
        while (up_open or up or down_open or down) and not self._descriptors.closed:
            readers = [sock.fileno()] if up_open and not up else []
            readers += [stream.fileno()] if down_open and not down else []
            # Whether a tunnel takes more bytes can only be found out by trying.
            ready = self._descriptors.wait(WRITE_POLL if up else None, readers, [sock.fileno()] if down else [])
            if up_open and not up and sock.fileno() in ready:
                with suppress(BlockingIOError):  # it may be ready for the other direction only
                    up = sock.recv(FORWARD_PIECE)
                    up_open = bool(up)
                if not up_open:
                    stream.end_sending()
            if down_open and not down and stream.fileno() in ready:
                arrived = stream.receive(FORWARD_PIECE, 0)
                if arrived == b"":
                    down_open = False
                    sock.shutdown(socket.SHUT_WR)
                down = arrived or b""
            if stream.ended and not down_open and not down:
                return  # not only its output has ended: the connection to the host is gone
            if down:
                with suppress(BlockingIOError):
                    down = down[sock.send(down) :]
            if up:
                up = up[stream.send(up, 0) :]

    def reset(self) -> None:
        """Have the client see an error, and not an empty answer."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Wake the carrying thread, which then closes both sides. From any thread; idempotent."""
        self._descriptors.close()


def _private_directory() -> tempfile.TemporaryDirectory[str]:
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) < MAX_SOCKET_PATH - 40 else "/tmp"
    return tempfile.TemporaryDirectory(prefix="otto-forward-", dir=parent)
