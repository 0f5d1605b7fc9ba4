"""Paramiko's channel, changed so that no interrupt breaks it, and that it tells why it ended."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import cMSG_CHANNEL_CLOSE, cMSG_CHANNEL_REQUEST

from ..locks import Signal

if TYPE_CHECKING:
    from .transport import Transport

# The type stubs of Paramiko leave out most of what is used of it here.
_Channel: Any = paramiko.Channel


class ClosedGuard:
    """Stands between a channel and its transport, and lets nothing out after the channel's CLOSE.

    Two threads may use a channel at once. If one sends data or a window adjust after the other has closed, the server
    sees a message for a channel that it does not know any more, and ends the whole connection.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.channel_lock = threading.RLock()
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_user_message(self, message: paramiko.Message) -> None:
        # Under one lock: between the look at `_closed` and the sending, another thread could send its CLOSE.
        with self.channel_lock:
            if not self._closed:
                self._closed = message.asbytes()[:1] == cMSG_CHANNEL_CLOSE
                self._transport._send_user_message(message)


class RawChannel(_Channel):  # type: ignore[misc]
    """Paramiko's channel, which also keeps what Paramiko drops: why it was refused, and which signal killed it."""

    _pid = 0  # of a channel whose making was interrupted

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.lock = threading.RLock()
        self.out_buffer_cv = threading.Condition(self.lock)
        self.event, self.status_event = Signal(), Signal()
        self.room = Signal()
        """Set when the server takes more bytes, and when the channel closes."""
        for buffer in (self.in_buffer, self.in_stderr_buffer):
            buffer._lock = threading.RLock()
            buffer._cv = threading.Condition(buffer._lock)
        self.requested = False
        """Whether the server was asked to open it."""
        self.refusal: tuple[int, str] | None = None
        self.request_refused = False
        self.signal = ""
        self.ended_by_server = False
        self._pid = os.getpid()

    @property
    def locks(self) -> list[Any]:
        """All locks that a thread which uses the channel takes."""
        locks = [self.lock, self.in_buffer._lock, self.in_stderr_buffer._lock]
        return locks if self.transport is None else [*locks, self.transport.channel_lock]

    def close(self) -> None:
        if os.getpid() == self._pid:  # else it is a forked child's copy, and the server is not to hear of it
            super().close()

    def abandon(self) -> None:
        """Let the transport's own thread close the channel.

        The garbage collector may run in a thread that is just sending, and holds the locks that `close` needs.
        """
        if os.getpid() == self._pid and self.active and not self.closed:
            self.transport.orphans.append(self)

    __del__ = abandon

    def request(self, kind: str, *fields: Any, reply: bool = True) -> None:
        """Send a request, and do not wait for the reply: that saves a round trip. A refusal closes the channel."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.remote_chanid)
        message.add_string(kind)
        message.add_boolean(reply)
        add_fields(message, fields)
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

    def _window_adjust(self, message: paramiko.Message) -> None:
        super()._window_adjust(message)
        self.room.set()

    def _set_closed(self) -> None:
        super()._set_closed()
        self.room.set()

    def _handle_close(self, message: paramiko.Message) -> None:
        self.ended_by_server = True
        super()._handle_close(message)


def add_fields(message: paramiko.Message, fields: tuple[Any, ...]) -> None:
    for value in fields:
        if isinstance(value, int):
            message.add_int(value)
        else:
            message.add_string(value)
