"""A channel to a running script of a transfer.

The script prints messages, which are lines that begin with a nonce, and the bytes of files between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import NamedTuple

from .._channel.backend import Backend
from .._channel.base import Channel, Chunk
from .._channel.markers import encode_command, new_nonce
from .._shell import interposed_error, loader, stream_probe
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost
from ..limits import BODY_LIMIT, CLEAN_UP_TIME, LISTEN_EVERY, MESSAGE_LIMIT, NOISE_LIMIT, WRITE_POLL, WRITE_SIZE


class Message(NamedTuple):
    """A line from the script: ``word`` says what it is about, ``text`` is the rest of the line."""

    word: str
    text: str

    @property
    def number(self) -> int:
        """The number of the source that the message is about: the first word of the text. 0, which is not the number
        of any source, if that is not a number."""
        first = self.text.partition(" ")[0]
        return int(first) if first.isascii() and first.isdigit() else 0

    @property
    def numbers(self) -> list[int]:
        """All numbers in the text."""
        return [int(word) for word in self.text.split() if word.isascii() and word.isdigit()]

    @property
    def rest(self) -> str:
        """The text after the number."""
        return self.text.partition(" ")[2]


class EndedEarly(Exception):
    """The script ended in the middle. `ScriptChannel` turns it into an error that says why."""


class ScriptChannel:
    """A running script. Owns the channel: as a context manager, it ends the script and waits for its end.

    One thread uses it. Every wait raises `DeadlineExpired` at the deadline that it was started with. If the script ends
    in the middle, the ``with`` block raises `ConnectionLost`.
    """

    def __init__(self, backend: Backend, channel: Channel, nonce: str, deadline: Deadline) -> None:
        self.nonce = nonce
        self._backend = backend
        self._channel = channel
        self._deadline = deadline
        self._mark = f"\n{nonce} ".encode()
        self._buffer = bytearray()
        self._unmarked = 0
        self._noise = bytearray(), bytearray()
        self._ended = False
        self.was_cut = False
        """Whether the script has ended in the middle, so that it may not have cleaned up."""
        self._started_at = monotonic()

    @classmethod
    def start(
        cls, backend: Backend, make_script: Callable[[str], str], deadline: Deadline, data: bytes = b""
    ) -> ScriptChannel:
        """Run a script in a shell of the host, and wait for its first message. `make_script` takes a nonce.

        `data` is sent after the script, as all of its stdin, without waiting for anything.
        Raises what `Backend.startup_error` makes of it if the shell does not start.
        """
        nonce = new_nonce()
        text = encode_command(make_script(nonce))
        marker_env = backend.guard.marker_env()
        channel = backend.open_shell(["-c", loader(nonce)], marker_env=marker_env, deadline=deadline)
        self = cls(backend, channel, nonce, deadline)
        try:
            # Nothing is sent when the time is over: with `data`, what is sent may be put in place.
            deadline.check()
            self._channel.write(stream_probe(nonce, channel) + text + f"\n{nonce}\n".encode() + data, deadline)
            if data:
                self.send_end()
            self.next()
        except EndedEarly as error:
            status = self.end()
            out, err = self._noise
            if interposed := interposed_error(backend.id, nonce, bytes(out)):
                raise interposed from error
            raise backend.startup_error(bytes(out), bytes(err), status, Deadline.grace(CLEAN_UP_TIME)) from error
        except BaseException:
            self.end()
            raise
        return self

    def __enter__(self) -> ScriptChannel:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.end()
        if isinstance(error, EndedEarly):
            self.was_cut = True
            reason = self._backend.loss_reason_or_error(self._started_at, Deadline.grace(CLEAN_UP_TIME))
            said = re.sub(rb"\s+", b" ", self._noise[1]).decode("utf-8", "replace").strip()[-300:]
            reason = reason or f"the remote shell stopped in the middle: {said or 'it said nothing'}"
            raise ConnectionLost(reason) from error

    def next(self) -> Message:
        """Wait for the next message and drop the bytes before it. Raises `EndedEarly` or `ConnectionLost`."""
        while piece := self.read(WRITE_SIZE):
            self._keep_noise(0, piece)
        start = len(self._mark)
        while (end := self._buffer.find(b"\n", start)) < 0:
            del self._buffer[MESSAGE_LIMIT:]
            self._await()
        line = self._buffer[start:end].decode("utf-8", "replace").strip()
        del self._buffer[: end + 1]
        self._unmarked = 0
        word, _, text = line.partition(" ")
        return Message(word, text)

    def read(self, size: int) -> bytes:
        """Return at most `size` of the bytes before the next message; none if the message is next."""
        while True:
            if not self._unmarked:
                at = self._buffer.find(self._mark)
                if at == 0:
                    return b""
                # The last bytes may be the beginning of a mark, so they wait for more.
                self._unmarked = at if at > 0 else max(0, len(self._buffer) - len(self._mark) + 1)
            if self._unmarked:
                piece = bytes(self._buffer[: min(size, self._unmarked)])
                del self._buffer[: len(piece)]
                self._unmarked -= len(piece)
                return piece
            self._await()

    def body(self) -> bytes:
        """Return all bytes before the next message, up to a limit."""
        body = bytearray()
        while piece := self.read(WRITE_SIZE):
            body += piece[: BODY_LIMIT - len(body)]
        return bytes(body)

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send bytes until there are no more, or until the script says something: it does so when it has failed."""
        since_look, wait = 0, 0.001
        for piece in _join_small(pieces):
            view = memoryview(piece)
            while view:
                self._deadline.check()
                taken = self._channel.write_some(bytes(view[:WRITE_SIZE]))
                view, since_look = view[taken:], since_look + taken
                if not taken:
                    self._channel.pause(self._deadline.at_most(wait))
                wait = 0.001 if taken else min(2 * wait, WRITE_POLL)
                if (not taken or since_look > LISTEN_EVERY) and self._has_message():
                    return
            if since_look > LISTEN_EVERY:
                since_look = 0

    def send_end(self) -> None:
        """End the script's stdin."""
        self._channel.write_eof()

    def end(self) -> int | None:
        """Let the script clean up and end, wait for that, and return its exit status if known. Does not raise."""
        grace = Deadline.grace(CLEAN_UP_TIME)
        try:
            self._channel.write_eof()
            while self._receive(grace):
                self._buffer.clear()
            return self._channel.exit_status(grace)
        except (DeadlineExpired, ConnectionLost):
            return None
        finally:
            self._channel.close()

    def _has_message(self) -> bool:
        try:
            return not self._receive(Deadline.grace(0)) or self._mark in self._buffer
        except DeadlineExpired:
            return False

    def _await(self) -> None:
        if not self._receive(self._deadline):
            self._keep_noise(0, bytes(self._buffer))
            raise EndedEarly

    def _receive(self, deadline: Deadline) -> bool:
        """Wait for bytes. Returns False at the end of the output."""
        chunk = Chunk() if self._ended else self._channel.read(deadline)
        self._ended = chunk.ended
        self._buffer += chunk.out
        self._keep_noise(1, chunk.err)
        return not chunk.ended

    def _keep_noise(self, stream: int, data: bytes) -> None:
        noise = self._noise[stream]
        noise += data
        del noise[:-NOISE_LIMIT]


def _join_small(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces that are worth a write. A large piece is passed on without a copy."""
    joined = bytearray()
    for piece in pieces:
        if len(piece) < WRITE_SIZE:
            joined += piece
            if len(joined) < WRITE_SIZE:
                continue
            piece = b""
        if joined:
            yield bytes(joined)
            joined.clear()
        if piece:
            yield piece
    if joined:
        yield bytes(joined)
