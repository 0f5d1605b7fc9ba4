"""Paramiko's transport, changed so that sending never waits, and every wait ends with a deadline.

What cannot be sent at once is kept: by the `Link` below, what the socket does not take; here, what comes during a key
exchange. So a thread that sends or closes keeps to its own deadline.

Paramiko takes its locks in the calling thread, and an interrupt (a signal handler that raises) can come after a lock
was taken and before the block that gives it back, or in the middle of a packet. Then every thread of the connection
would wait forever. So all these locks know their owner, and whoever calls into Paramiko does so inside of
`Transport.guard`: when an exception leaves that while the thread still owns a lock, or has begun to send, the locks are
given back and the connection is ended. The next call opens another one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    cMSG_CHANNEL_CLOSE,
    cMSG_CHANNEL_OPEN,
    cMSG_GLOBAL_REQUEST,
)

from ..deadline import Deadline, DeadlineExpired
from ..limits import PACKET_SIZE, WINDOW_SIZE
from ..locks import start_thread
from .link import Link
from .raw_channel import ClosedGuard, RawChannel, add_fields

CLOSED = "it was closed by close()"
"""Why a connection ended that we closed."""

INTERRUPTED = "a call was interrupted while it used the connection"
"""Why a connection ended on which an interrupted call had begun to send, or held a lock."""

# Paramiko logs as errors, with tracebacks, what becomes an error of ours. Lower the level to see it.
logging.getLogger("otto_docker_sync.paramiko").setLevel(logging.CRITICAL + 1)

Raw = TypeVar("Raw", bound=RawChannel)

# The type stubs of Paramiko leave out most of what is used of it here.
_Transport: Any = paramiko.Transport


class Transport(_Transport):  # type: ignore[misc]
    """Paramiko's transport, whose senders never wait and whose channels open under a deadline."""

    # Paramiko calls its own Channel's methods from this table, whatever class a channel has.
    _channel_handler_table: ClassVar[dict[int, Any]] = {
        **_Transport._channel_handler_table,
        MSG_CHANNEL_FAILURE: lambda channel, message: channel._request_failed(message),
        MSG_CHANNEL_REQUEST: lambda channel, message: channel._handle_request(message),
        MSG_CHANNEL_WINDOW_ADJUST: lambda channel, message: channel._window_adjust(message),
        MSG_CHANNEL_CLOSE: lambda channel, message: channel._handle_close(message),
    }

    def __init__(self, link: Link) -> None:
        super().__init__(link, default_window_size=WINDOW_SIZE, default_max_packet_size=PACKET_SIZE)
        self.set_log_channel("otto_docker_sync.paramiko")
        self.name = "SSH connection"
        self.lock = threading.RLock()
        self.server_accept_cv = threading.Condition(self.lock)
        self.clear_to_send_lock = threading.RLock()
        self._channels._lock = threading.RLock()
        self.link = link
        self.disconnect_message = ""
        """What the server said when it ended the connection."""
        self.orphans: deque[RawChannel] = deque()
        """Channels that were dropped and not closed."""
        self.has_auth_service = False
        """Whether the server has agreed to talk about logins."""
        self._held: list[paramiko.Message] = []
        self._abandoned: set[RawChannel] = set()
        self._senders: list[int] = []
        """The threads that have begun to send, once for each message that has begun."""
        link.thread = self
        link.ping = self._ping
        link.housekeep = self._close_orphans

    def guard(self, channel: RawChannel | None = None) -> Guard:
        """Return a context manager for a block that calls into Paramiko, about one channel or none in particular."""
        return Guard(self, channel)

    def settle(self, channel: RawChannel | None) -> None:
        """Give back what an interrupted call of this thread has left, and end the connection if that was anything."""
        me = threading.get_ident()
        locks = [
            self.lock,
            self.clear_to_send_lock,
            self._channels._lock,
            self.packetizer._Packetizer__write_lock,
            self.link.sending,
        ]
        # Not by `values`, which takes a lock, and may itself be interrupted.
        for other in {*(known() for known in self._channels._map.valuerefs()), channel} - {None}:
            locks += other.locks
        owned = [lock for lock in locks if lock._is_owned()]
        if not owned and me not in self._senders:
            return
        # First the end, so that no other thread sends what the server would take for the rest of our packet.
        self.link.end(INTERRUPTED)
        self._senders[:] = [thread_id for thread_id in self._senders if thread_id != me]
        for lock in owned:
            lock._release_save()

    @property
    def writable(self) -> bool:
        """Whether a message would be on its way at once."""
        return self.clear_to_send.is_set() and self.link.writable

    def _send_user_message(self, data: paramiko.Message) -> None:
        # Paramiko's own waits here for the end of a key exchange. On the thread that reads, it would wait for itself.
        with self.clear_to_send_lock:
            if self._held or not self.clear_to_send.is_set():
                self._held.append(data)
            elif self.active:
                self._send_unless_ended(data)

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        # Paramiko below 5 takes a signature by any algorithm that the key has, SHA-1 too, whatever was agreed upon.
        used = paramiko.Message(sig).get_text()
        if used != self.host_key_type:
            raise paramiko.SSHException(f"Signature verification failed: {used} instead of {self.host_key_type}")
        super()._verify_key(host_key, sig)

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        super()._parse_newkeys(m)
        with self.clear_to_send_lock:
            held, self._held = self._held, []
            for data in held:
                self._send_unless_ended(data)

    def _send_message(self, data: paramiko.Message) -> None:
        me = threading.get_ident()
        self._senders.append(me)
        try:
            super()._send_message(data)
        except EOFError:
            self._senders.remove(me)
            raise
        self._senders.remove(me)

    def _send_unless_ended(self, data: paramiko.Message) -> None:
        try:
            self._send_message(data)
        except EOFError:
            pass  # the link has ended: the thread that waits for an answer finds that out

    def _close_orphans(self) -> None:
        while self.orphans:
            self.orphans.popleft().close()

    def _ping(self) -> None:
        """Ask the server for an answer, any answer."""
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(b=True)
        self._send_user_message(message)

    def open(self, kind: type[Raw], deadline: Deadline, name: str = "session", *fields: str | int) -> Raw:
        """Ask for a channel and wait for the answer.

        `name` is SSH's name for what the channel is to be, `fields` what its request says besides. The channel is then
        `active`, or has a `refusal`, or was closed with the transport. Raises `DeadlineExpired`.
        """
        channel = self.new_channel(kind)
        self.request_open(channel, name, *fields)
        self.await_open(channel, deadline)
        return channel

    def new_channel(self, kind: type[Raw]) -> Raw:
        """Make a channel that can be asked for by `request_open`. Sends nothing."""
        # The channel is known before the request is sent: the answer arrives on another thread.
        with self.lock:
            number = self._next_channel()
            channel = kind(number)
            channel._set_transport(ClosedGuard(self))
            channel._set_window(WINDOW_SIZE, PACKET_SIZE)
            # When it is complete: the other thread could not end one whose making was interrupted.
            self.channels_seen[number] = True
            self._channels.put(number, channel)
        return channel

    def request_open(self, channel: RawChannel, name: str = "session", *fields: str | int) -> None:
        """Ask for a channel, without waiting for the answer. Does nothing if somebody has asked for it already."""
        me = threading.get_ident()
        with self.lock:
            if channel.requested:
                return
            # From here on it counts as sending: nobody else will ask for the channel any more.
            self._senders.append(me)
            channel.requested = True
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string(name)
        message.add_int(channel.chanid)
        message.add_int(WINDOW_SIZE)
        message.add_int(PACKET_SIZE)
        add_fields(message, fields)
        self._send_user_message(message)
        self._senders.remove(me)
        if not self.active:
            channel._unlink()

    def await_open(self, channel: RawChannel, deadline: Deadline) -> None:
        """Wait for the answer to `request_open`."""
        try:
            with deadline.waking(channel.event.set):
                while not (channel.active or channel.refusal or channel.closed):
                    channel.event.wait(deadline.wait_time())
                    if deadline.expired:
                        raise DeadlineExpired("the server did not answer the request for a channel")
        except BaseException:
            self._abandon(channel)
            raise

    def _abandon(self, channel: RawChannel) -> None:
        """Stop waiting for a channel. If it still opens, it is closed, so that it does not use up a session."""
        # Under the lock of `_parse_channel_open_success`: the answer may arrive just now, and one of the two must see
        # that nobody waits.
        with self.lock:
            if not (channel.active or channel.refusal or channel.closed):
                self._abandoned.add(channel)
        channel.close()

    def _parse_channel_open_success(self, m: paramiko.Message) -> None:
        channel = self._channels.get(m.get_int())
        m.rewind()
        super()._parse_channel_open_success(m)
        if channel is None:
            self._close_unknown(m)
            return
        channel.event.set()
        with self.lock:
            abandoned = channel in self._abandoned
            self._abandoned.discard(channel)
        if abandoned:
            channel.close()

    def _close_unknown(self, m: paramiko.Message) -> None:
        """Close a channel that opened after the call that had asked for it was interrupted: it counts as a session."""
        m.rewind()
        m.get_int()
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_CLOSE)
        message.add_int(m.get_int())
        self._send_user_message(message)

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
        self.disconnect_message = text.strip() or f"code {code}"
        self.link.end(f"the server ended it: {self.disconnect_message}")

    def start(self) -> None:
        start_thread(self)

    def run(self) -> None:
        super().run()
        self.packetizer.complete_handshake()  # ends the timer of a handshake that is not complete
        for channel in self._channels.values():  # opened while Paramiko was just leaving
            channel._unlink()

    @property
    def why(self) -> str:
        """Why the connection ended."""
        return self.link.reason or str(self.saved_exception or "") or "it ended"

    def finish(self, reason: str) -> None:
        """End the connection, and wait until its thread has gone."""
        self.link.end(reason)
        if self.ident is None:
            self.link.close()
        elif threading.current_thread() is not self:
            self.join(5)


class Guard:
    """Holds together what a thread does with Paramiko: see the plan above. It can be entered again and again."""

    def __init__(self, transport: Transport, channel: RawChannel | None) -> None:
        self._transport = transport
        self._channel = channel

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._transport.settle(self._channel)
