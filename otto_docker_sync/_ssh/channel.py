"""The channels of an SSH connection: a process's bytes, a tunnel to a further host, a file transfer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST

from .._channel.base import Channel, Chunk
from ..deadline import Deadline
from ..errors import ConnectError, ConnectionLost, ForkError
from ..limits import SSH_READ_SIZE
from .link import Link
from .raw_channel import RawChannel


class SessionChannel(RawChannel):
    """Paramiko's channel, with one event that is set whenever anything happens to it: data, the end, the status."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.wake = self.status_event
        self.in_buffer.set_event(self.wake)
        self.in_stderr_buffer.set_event(self.wake)
        self.timeout = 0.0


class SSHChannel(Channel):
    """A process on an SSH host. The caller's thread does the reading; close it from any thread."""

    _pid = 0  # of a channel whose making was interrupted

    def __init__(self, raw: SessionChannel, where: str, tty: bool, on_close: Callable[[], None]) -> None:
        self.tty = tty
        self._raw = raw
        self._link: Link = raw.transport.link
        self._guard = raw.transport.guard(raw)
        self._where = where
        self._on_close = on_close
        self._closed = False
        self._ahead = [memoryview(b""), memoryview(b"")]
        self._pid = os.getpid()

    def read(self, deadline: Deadline) -> Chunk:
        with self._guard:
            return self._read(deadline)

    def _read(self, deadline: Deadline) -> Chunk:
        raw = self._raw
        while True:
            self._check_process()
            chunk = Chunk(self._take(0, raw.in_buffer), self._take(1, raw.in_stderr_buffer))
            if not chunk.ended:
                return chunk
            if self._at_end():
                return self._end()
            deadline.check()
            # Clear the event first, look again, and only then wait: what arrives in between sets it again.
            raw.wake.clear()
            if self._at_end() or raw.in_buffer.read_ready() or raw.in_stderr_buffer.read_ready():
                continue
            with deadline.waking(raw.wake.set):
                raw.wake.wait(deadline.wait_time())

    def _take(self, stream: int, buffer: BufferedPipe[bytes]) -> bytes:
        """Return a piece of what has arrived, and allow the server to send as much again.

        So no more than a window is ever held. All that Paramiko has is taken at once: its buffer deletes from the
        front, which would copy the rest for each piece.
        """
        if not self._ahead[stream]:
            self._ahead[stream] = memoryview(buffer.empty())
        ahead = self._ahead[stream]
        piece, self._ahead[stream] = bytes(ahead[:SSH_READ_SIZE]), ahead[SSH_READ_SIZE:]
        send_window_adjust(self._raw, len(piece))
        return piece

    def write_some(self, data: bytes) -> int:
        with self._guard:
            return self._write_some(data)

    def _write_some(self, data: bytes) -> int:
        self._check_process()
        raw = self._raw
        if self._lost():
            raise self._loss()
        if raw.closed or raw.eof_sent:
            return len(data)  # nobody reads any more: `read` reports the rest
        if not raw.transport.writable:
            return 0
        try:
            return int(raw.send(data))
        except TimeoutError:
            return 0  # the window is full
        except OSError:
            return self._write_some(data)  # it closed just now

    def write_eof(self) -> None:
        self._check_process()
        if not self.tty and not self._raw.closed:
            with self._guard:
                self._raw.shutdown_write()

    def resize(self, columns: int, rows: int) -> None:
        self._check_process()
        if self.tty and not self._raw.closed:
            with self._guard:
                self._raw.request("window-change", columns, rows, 0, 0, reply=False)

    def exit_status(self, deadline: Deadline) -> int | None:
        raw = self._raw
        while raw.exit_status < 0 and not raw.signal and not raw.closed:
            deadline.check()
            raw.wake.clear()
            if raw.exit_status >= 0 or raw.signal or raw.closed:
                break
            with deadline.waking(raw.wake.set):
                raw.wake.wait(deadline.wait_time())
        if raw.exit_status >= 0:
            return int(raw.exit_status)
        if self._lost():
            raise self._loss()
        number = getattr(signal, f"SIG{raw.signal}", None) if raw.signal else None
        return None if number is None else 128 + int(number)

    def pause(self, deadline: Deadline) -> None:
        raw = self._raw
        full = raw.out_window_size == 0  # then the pause also ends when the server takes more bytes
        with deadline.waking(raw.room.set):
            while not deadline.expired:
                raw.room.clear()
                if raw.closed or (full and raw.out_window_size):
                    break
                raw.room.wait(deadline.wait_time())

    def close(self) -> None:
        if os.getpid() == self._pid:
            self._closed = True
            with self._guard:
                self._raw.close()
            self._on_close()

    def __del__(self) -> None:
        if os.getpid() == self._pid:
            self._raw.abandon()  # Paramiko's own thread may still refer to it

    def __repr__(self) -> str:
        state = "closed" if self._raw.closed else "open"
        return f"<SSHChannel {self._raw.chanid} of {self._where}, {state}>"

    def _at_end(self) -> bool:
        return bool(self._raw.eof_received or self._raw.closed or self._link.ended)

    def _end(self) -> Chunk:
        raw = self._raw
        if raw.in_buffer.read_ready() or raw.in_stderr_buffer.read_ready():
            return Chunk(self._take(0, raw.in_buffer), self._take(1, raw.in_stderr_buffer))
        if raw.request_refused:
            what = "a terminal or the command (PermitTTY or ForceCommand)" if self.tty else "the command (ForceCommand)"
            raise ConnectError(f"{self._where} opened a session and then refused {what}: look at its sshd_config")
        if self._lost() and not raw.eof_received:
            raise self._loss()
        return Chunk()

    def _lost(self) -> bool:
        raw = self._raw
        # The link first: who has ended it does not wait until Paramiko's thread has closed the channels.
        return bool((self._link.ended or raw.closed) and not (raw.ended_by_server or self._closed))

    def _loss(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._where} was lost: {self._raw.transport.why}")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkError(
                f"{self._where}: this channel belongs to the process that this one was forked from; open another here"
            )


class TunnelStream:
    """A tunnel: a connection that a host made for us, to another host or to a socket of its own."""

    may_be_retried = True

    def __init__(self, raw: RawChannel, hop: str, on_close: Callable[[], None]) -> None:
        self._raw = raw
        self._guard = raw.transport.guard(raw)
        self._hop = hop
        self._on_close = on_close
        raw.timeout = 0.0

    @property
    def ended(self) -> bool:
        return bool(self._raw.closed)

    def receive(self, size: int, timeout: float) -> bytes | None:
        try:
            data: bytes = self._raw.in_buffer.read(size, timeout)
        except PipeTimeout:
            return None
        send_window_adjust(self._raw, len(data))
        return data

    def send(self, data: bytes, timeout: float) -> int:  # noqa: ARG002 (the base has it)
        if not self._raw.transport.writable:
            return 0
        try:
            with self._guard:
                return int(self._raw.send(data))
        except TimeoutError:
            return 0  # the window is full

    def end_sending(self) -> None:
        if not self._raw.closed:
            with self._guard:
                self._raw.shutdown_write()

    def shutdown(self) -> None:
        with self._guard:
            self._raw.close()

    def close(self) -> None:
        with self._guard:
            self._raw.close()
        self._on_close()

    def close_in_child(self) -> None:
        """It has no descriptors of its own."""

    def reason(self) -> str:
        transport = self._raw.transport
        if transport.link.ended:
            return f"the connection to its hop {self._hop} was lost: {transport.why}"
        return f"the remote side closed the connection (through {self._hop})"

    def complaint(self) -> str:
        return ""

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number


class SFTPChannel(RawChannel):
    """The channel of one file transfer: each wait in it ends with the deadline."""

    deadline = Deadline(None)

    @property
    def timeout(self) -> float | None:
        return self.deadline.remaining()

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        """Ignored: Paramiko sets it, but only the deadline counts."""


def send_window_adjust(raw: RawChannel, size: int) -> None:
    """Tell the server that `size` bytes were read, so that it may send as many again."""
    grown = raw._check_add_window(size) if size else 0
    if grown:
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(raw.remote_chanid)
        message.add_int(grown)
        raw.transport._send_user_message(message)
