"""What Paramiko stands on: sockets that never block it for long and notice a dead far end, and its transport.

Paramiko runs one thread per connection, which reads. All that must happen in the background happens on that thread,
between two reads: see `Link.recv`. Nothing here waits to send: neither for the socket (`Link.send` keeps what does
not fit) nor for a change of keys (`Transport` holds messages back), so whoever sends keeps to its deadline.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_OPEN,
    cMSG_CHANNEL_REQUEST,
    cMSG_GLOBAL_REQUEST,
)

from .deadline import Deadline, DeadlineExpired

SLICE = 0.2
"""Seconds of a read at most, until the reading thread looks around."""
WINDOW_SIZE = 2 << 20
PACKET_SIZE = 32 << 10

_READ_SIZE = 64 << 10
_SEND_WAIT = 0.1

logging.getLogger("otto_docker_sync.paramiko").addHandler(logging.NullHandler())


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


class SocketStream:
    """A connected socket, or the one end of a proxy command."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._socket = sock
        self._process = process
        sock.setblocking(False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(sock, select.POLLIN)
        self._writable.register(sock, select.POLLOUT)

    def receive(self, size: int, timeout: float) -> bytes | None:
        for attempt in (1, 2):
            try:
                return self._socket.recv(size)
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
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the far end was first

    def close(self) -> None:
        self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        self._socket.close()

    def reason(self) -> str:
        return "the far end closed the connection"


class Link:
    """The socket of one Paramiko transport.

    It counts how long nothing arrived. After `interval` seconds it asks for a sign of life, after three times that
    it ends, and everybody who waits on the connection with it. A suspended process or laptop does not count as
    silence. Once ended, it reads as the end of the stream, and `reason` says why.
    """

    def __init__(self, stream: Stream, interval: float) -> None:
        self.stream = stream
        self.greeting = b""
        """The first bytes that arrived: what is there when it is no SSH server."""
        self.ping: Callable[[], None] = lambda: None
        self.idle: Callable[[], bool] = lambda: False
        """Asked while nothing arrives; True ends the link as no longer needed."""
        self.thread: threading.Thread | None = None
        self.ended = False
        self.reason = ""
        """Why the link ended, when it knows."""
        self._interval = interval
        self._quiet = 0.0
        self._pings = 0
        self._ahead = memoryview(b"")
        self._unsent = bytearray()
        self._sending = threading.Lock()
        self._pid = os.getpid()
        _links.add(self)

    def settimeout(self, seconds: float) -> None:
        """Paramiko asks for its own pace; ours is SLICE."""

    def recv(self, size: int) -> bytes:
        """The next bytes. A time-out lets Paramiko look around, and is our own time to do so."""
        if not self._ahead:
            self._ahead = memoryview(self._receive())
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return bytes(taken)

    def _receive(self) -> bytes:
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
            if len(self.greeting) < 256:
                self.greeting += data[:256]
        else:
            self.end(self.stream.reason())
        return data

    def _nothing_arrived(self, seconds: float) -> None:
        self._quiet += seconds
        if self._quiet >= 3 * self._interval:
            self.end(f"no answer for {self._quiet:.1f} s")
        elif self._quiet >= (self._pings + 1) * self._interval:
            self._pings += 1
            self.ping()
        if self.idle():
            self.end("no longer needed")

    def send(self, data: bytes) -> int:
        """Send `data`, or keep what the far end does not take soon; it goes out before anything else does."""
        with self._sending:
            if self.ended:
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
            self.end(error.strerror or str(error))

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

    def forget(self) -> None:
        """In a forked child: drop the copies of the descriptors; the connection is the parent's."""
        self.ended = True
        self.stream.forget()


_links: weakref.WeakSet[Link] = weakref.WeakSet()


def _forget_links() -> None:
    for link in list(_links):
        link.forget()


os.register_at_fork(after_in_child=_forget_links)


class RawChannel(paramiko.Channel):
    """Paramiko's channel, which also keeps what Paramiko drops: why it was refused, and death by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.refusal: tuple[int, str] | None = None
        self.request_refused = False
        self.signal = ""
        self.ended_by_server = False
        self._pid = os.getpid()

    def close(self) -> None:
        if os.getpid() == self._pid:  # else it is a forked child's copy, and the server is not to hear of it
            super().close()

    def request(self, kind: str, *fields: Any, reply: bool = True) -> None:
        """Send a request. Nobody waits for the reply: when it is a refusal the channel closes."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.remote_chanid)
        message.add_string(kind)
        message.add_boolean(reply)
        for value in fields:
            if isinstance(value, int):
                message.add_int(value)
            else:
                message.add_string(value)
        self.transport._send_user_message(message)

    def _request_failed(self, message: paramiko.Message) -> None:
        self.request_refused = True
        super()._request_failed(message)

    def _handle_request(self, message: paramiko.Message) -> None:
        if message.get_text() == "exit-signal":
            message.get_boolean()
            self.signal = message.get_text()
            self.status_event.set()
            return
        message.rewind()
        message.get_int()
        super()._handle_request(message)

    def _handle_close(self, message: paramiko.Message) -> None:
        self.ended_by_server = True
        super()._handle_close(message)


class Transport(paramiko.Transport):
    """Paramiko's transport, whose senders never wait and whose channels open under a deadline."""

    # Paramiko calls its own Channel's methods from this table, whatever class a channel has.
    _channel_handler_table = {
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_FAILURE: lambda channel, message: channel._request_failed(message),
        MSG_CHANNEL_REQUEST: lambda channel, message: channel._handle_request(message),
        MSG_CHANNEL_CLOSE: lambda channel, message: channel._handle_close(message),
    }

    def __init__(self, link: Link) -> None:
        super().__init__(link, default_window_size=WINDOW_SIZE, default_max_packet_size=PACKET_SIZE)
        self.set_log_channel("otto_docker_sync.paramiko")
        self.link = link
        self.last_words = ""
        """What the server said when it ended the connection."""
        self._held: list[paramiko.Message] = []
        self._abandoned: set[RawChannel] = set()
        link.thread = self
        link.ping = self.ping

    @property
    def writable(self) -> bool:
        """Whether a message would be on its way at once."""
        return self.clear_to_send.is_set() and self.link.writable

    def _send_user_message(self, data: paramiko.Message) -> None:
        # Paramiko's own waits here while keys are changed, up to 30 s: for ever, if it is the reading thread that waits.
        with self.clear_to_send_lock:
            if self._held or not self.clear_to_send.is_set():
                self._held.append(data)
            elif self.active:
                self._send_unless_ended(data)

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        super()._parse_newkeys(m)
        with self.clear_to_send_lock:
            held, self._held = self._held, []
            for data in held:
                self._send_unless_ended(data)

    def _send_unless_ended(self, data: paramiko.Message) -> None:
        try:
            self._send_message(data)
        except EOFError:
            pass  # the link has ended: whoever waits for an answer learns it there

    def ping(self) -> None:
        """Ask the server for an answer, any answer."""
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_user_message(message)

    def open(self, channel_type: type[RawChannel], deadline: Deadline, tunnel_to: tuple[str, int] | None = None) -> RawChannel:
        """Ask for a channel and wait for the answer: `active`, or with a `refusal`, or closed with the transport."""
        with self.lock:
            number = self._next_channel()
            channel = channel_type(number)
            self._channels.put(number, channel)
            self.channels_seen[number] = True
            channel._set_transport(self)
            channel._set_window(WINDOW_SIZE, PACKET_SIZE)
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string("session" if tunnel_to is None else "direct-tcpip")
        message.add_int(number)
        message.add_int(WINDOW_SIZE)
        message.add_int(PACKET_SIZE)
        if tunnel_to is not None:
            message.add_string(tunnel_to[0])
            message.add_int(tunnel_to[1])
            message.add_string("127.0.0.1")
            message.add_int(0)
        self._send_user_message(message)
        if not self.active:
            channel._unlink()
        with deadline.waking(channel.event.set):
            while not (channel.active or channel.refusal or channel.closed):
                if not channel.event.wait(deadline.remaining()) or deadline.expired:
                    self._abandon(channel)
        return channel

    def _abandon(self, channel: RawChannel) -> None:
        """Stop to wait for a channel; should it still open, it is closed then, or it would use up a session."""
        with self.lock:
            if channel.active or channel.refusal or channel.closed:
                return
            self._abandoned.add(channel)
        raise DeadlineExpired("the server did not answer the request for a session")

    def _parse_channel_open_success(self, m: paramiko.Message) -> None:
        channel = self._channels.get(m.get_int())
        m.rewind()
        super()._parse_channel_open_success(m)
        if channel is None:
            return
        channel.event.set()
        with self.lock:
            abandoned = channel in self._abandoned
            self._abandoned.discard(channel)
        if abandoned:
            channel.close()

    def _parse_channel_open_failure(self, m: paramiko.Message) -> None:
        number, code, text = m.get_int(), m.get_int(), m.get_text()
        channel = self._channels.get(number)
        self._channels.delete(number)
        if channel is not None:
            channel.refusal = (code, text)
            channel.event.set()
            with self.lock:
                self._abandoned.discard(channel)

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        code, text = m.get_int(), m.get_text()
        self.last_words = text.strip() or f"code {code}"
        self.link.end(f"the server ended it: {self.last_words}")

    def run(self) -> None:
        super().run()
        for channel in self._channels.values():  # opened while Paramiko was just leaving
            channel._unlink()

    @property
    def why(self) -> str:
        """Why the connection ended."""
        return self.link.reason or str(self.saved_exception or "") or "it ended"

    def finish(self, reason: str) -> None:
        """End the connection, and wait until its thread has gone."""
        self.link.end(reason)
        self.packetizer.complete_handshake()  # ends the timer of a handshake that is not complete
        if self.ident is None:
            self.link.close()
        elif threading.current_thread() is not self:
            self.join(5)
