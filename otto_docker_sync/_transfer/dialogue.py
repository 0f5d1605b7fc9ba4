"""A conversation with a script at the far end, over one channel: messages, and bytes of files between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import NamedTuple

from .._channel.backend import Backend
from .._channel.base import WRITE_POLL, Channel, Chunk
from .._channel.markers import encode_command, new_nonce
from .._shell.scripts import loader
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost

WRITE_SIZE = 64 * 1024
LISTEN_EVERY = 1 << 20
"""Bytes sent between two looks at whether the far end has something to say."""
LINE_LIMIT = 64 * 1024
"""Bytes of a message that are kept, whatever the far end sends."""
BODY_LIMIT = 4 << 20
NOISE = 64 * 1024
"""Bytes kept of what no message is, for an explanation."""
CLEAN_UP_TIME = 2.0
"""Seconds that the far end gets to remove its stage and end."""


class Message(NamedTuple):
    """``word`` says what it is; ``text`` is the rest of its line."""

    word: str
    text: str

    @property
    def number(self) -> int:
        """The source that the message is about: its text's first word. 0, which no source has, for nonsense."""
        first = self.text.partition(" ")[0]
        return int(first) if first.isascii() and first.isdigit() else 0

    @property
    def rest(self) -> str:
        """The text behind the number."""
        return self.text.partition(" ")[2]


class EndedEarly(Exception):
    """The script ended in the middle. Leaves no dialogue as such: that says what happened."""


class Dialogue:
    """A running script. It owns the channel: used as a context manager, it ends the script, and waits for its end.

    One thread uses it. All waits end with the deadline it was started with, by `DeadlineExpired`. A script that ends in
    the middle is a `ConnectionLost` behind the ``with``.
    """

    def __init__(self, backend: Backend, channel: Channel, nonce: str, deadline: Deadline) -> None:
        self.nonce = nonce
        self._backend = backend
        self._channel = channel
        self._deadline = deadline
        self._mark = f"\n{nonce} ".encode()
        self._buffer = bytearray()
        self._unmarked = 0
        self._noise = [bytearray(), bytearray()]
        self._ended = False
        self._started_at = monotonic()

    @classmethod
    def start(cls, backend: Backend, script: Callable[[str], str], deadline: Deadline) -> Dialogue:
        """Run what `script` makes of a nonce in a shell of the host, and wait for its first words.

        Raises what `Backend.startup_error` makes of it when the shell does not start.
        """
        nonce = new_nonce()
        text = encode_command(script(nonce))
        marker_env = backend.guard.marker_env()
        channel = backend.open_shell(["-c", loader(nonce)], marker_env=marker_env, deadline=deadline)
        self = cls(backend, channel, nonce, deadline)
        try:
            self._channel.write(text + f"\n{nonce}\n".encode(), deadline)
            self.next()
        except EndedEarly as error:
            status = self.end()
            out, err = map(bytes, self._noise)
            raise backend.startup_error(out, err, status, Deadline.grace(CLEAN_UP_TIME)) from error
        except BaseException:
            self.end()
            raise
        return self

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.end()
        if isinstance(error, EndedEarly):
            fate = self._backend.loss_reason_or_error(self._started_at, Deadline.grace(CLEAN_UP_TIME))
            said = re.sub(rb"\s+", b" ", self._noise[1]).decode("utf-8", "replace").strip()[-300:]
            raise ConnectionLost(fate or f"the far end stopped in the middle: {said or 'it said nothing'}") from error

    def next(self) -> Message:
        """Wait for the next message; bytes in front of it are dropped. Raises `EndedEarly` or `ConnectionLost`."""
        while piece := self.read(WRITE_SIZE):
            self._note(0, piece)
        start = len(self._mark)
        while (end := self._buffer.find(b"\n", start)) < 0:
            del self._buffer[LINE_LIMIT:]
            self._await()
        line = self._buffer[start:end].decode("utf-8", "replace").strip()
        del self._buffer[: end + 1]
        self._unmarked = 0
        word, _, text = line.partition(" ")
        return Message(word, text)

    def read(self, size: int) -> bytes:
        """At most `size` bytes of what comes in front of the next message; none when that is next."""
        while True:
            if not self._unmarked:
                at = self._buffer.find(self._mark)
                if at == 0:
                    return b""
                # What could be the beginning of a mark waits for more.
                self._unmarked = at if at > 0 else max(0, len(self._buffer) - len(self._mark) + 1)
            if self._unmarked:
                piece = bytes(self._buffer[: min(size, self._unmarked)])
                del self._buffer[: len(piece)]
                self._unmarked -= len(piece)
                return piece
            self._await()

    def body(self) -> bytes:
        """All that comes in front of the next message, up to a limit."""
        body = bytearray()
        while piece := self.read(WRITE_SIZE):
            body += piece[: BODY_LIMIT - len(body)]
        return bytes(body)

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send bytes, until the end or until the far end has something to say."""
        unheard, wait = 0, 0.001
        for piece in _gathered(pieces):
            sent = 0
            while sent < len(piece):
                self._deadline.check()
                taken = self._channel.write_some(piece[sent : sent + WRITE_SIZE])
                sent, unheard = sent + taken, unheard + taken
                if not taken:
                    self._channel.pause(self._deadline.at_most(wait))
                wait = 0.001 if taken else min(2 * wait, WRITE_POLL)
                if (not taken or unheard > LISTEN_EVERY) and self._spoken():
                    return
            if unheard > LISTEN_EVERY:
                unheard = 0

    def send_end(self) -> None:
        """End the far end's input."""
        self._channel.write_eof()

    def end(self) -> int | None:
        """Let the far end clean up and end, wait for it as long as that may take, and return its status if known."""
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

    def _spoken(self) -> bool:
        try:
            return not self._receive(Deadline.grace(0)) or self._mark in self._buffer
        except DeadlineExpired:
            return False

    def _await(self) -> None:
        if not self._receive(self._deadline):
            self._note(0, bytes(self._buffer))
            raise EndedEarly

    def _receive(self, deadline: Deadline) -> bool:
        """Wait for bytes; False at the end."""
        chunk = Chunk() if self._ended else self._channel.read(deadline)
        self._ended = chunk.ended
        self._buffer += chunk.out
        self._note(1, chunk.err)
        return not chunk.ended

    def _note(self, stream: int, data: bytes) -> None:
        noise = self._noise[stream]
        noise += data
        del noise[:-NOISE]


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that are worth a write."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= WRITE_SIZE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
