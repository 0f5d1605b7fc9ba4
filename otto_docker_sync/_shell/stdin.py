"""The input of a oneshot: read from what the caller gave, and sent to the wrapper in messages (oneshot_input.sh)."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol, Union

from .._channel.base import Channel
from .._channel.descriptors import select
from ..deadline import Deadline
from ..errors import ConfigError
from ..limits import INPUT_FIRST, INPUT_PIECE, INPUT_POLL, INPUT_TEXT, WRITE_POLL
from .framing import Section


class BinaryFile(Protocol):
    """What has a ``read`` that returns bytes: an open file, a pipe, an `io.BytesIO`."""

    def read(self, size: int, /) -> bytes | None: ...


Input = Union[str, bytes, BinaryFile]
"""What a command may be given as its stdin."""

# A text is a format of printf: so are bytes that a line could not hold, and those that printf would take for its own.
AS_FORMAT = [chr(byte) if 32 <= byte < 127 and byte not in b"%\\-" else f"\\{byte:03o}" for byte in range(256)]


class Source:
    """Reads what the caller gave, in pieces. Of a pipe it takes only what is there, so that reading never waits."""

    def __init__(self, given: Input) -> None:
        if isinstance(given, str):
            given = given.encode("utf-8", "surrogateescape")
        self._file = io.BytesIO(given) if isinstance(given, (bytes, bytearray, memoryview)) else given
        if isinstance(given, io.TextIOBase) or not callable(getattr(self._file, "read", None)):
            raise ConfigError(f"input={given!r}: pass a string, bytes, or a file that was opened for reading in binary")
        self._waits_on = _descriptor_to_wait_on(self._file)
        self._ended = False

    def read(self, size: int) -> bytes | None:
        """Return up to `size` bytes, b"" at the end, None when nothing is there yet.

        Raises `ConfigError` when the file cannot be read.
        """
        data = b""
        while len(data) < size and not self._ended:
            if self._waits_on is not None and not select(0.0, [self._waits_on]):
                break
            piece = self._read_piece(size - len(data))
            if piece is None:
                break
            data += piece
            self._ended = not piece
            if self._waits_on is None:
                break
        return data if data or self._ended else None

    def _read_piece(self, size: int) -> bytes | None:
        # A pipe's `read` would wait for all of `size`.
        read = getattr(self._file, "read1", self._file.read) if self._waits_on is not None else self._file.read
        try:
            piece = read(size)
        except (OSError, ValueError) as error:
            raise ConfigError(f"input={self._file!r}: it cannot be read: {error}") from error
        if piece is not None and not isinstance(piece, bytes):
            raise ConfigError(f"input={self._file!r}: it reads as {type(piece).__name__}; open it in binary")
        return piece


def _descriptor_to_wait_on(file: object) -> int | None:
    """Return the descriptor of a pipe, a socket or a terminal; None for all else, where nothing can be waited for."""
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.RawIOBase):
        return None
    try:
        descriptor = raw.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode) else None


class CommandInput:
    """The stdin of one command on its way to the wrapper, a message at a time, so that memory stays bounded."""

    may_signal = False

    def __init__(self, given: Input) -> None:
        self._source = Source(given)
        self._opening: bytes | None = None
        self._ahead: bytes | None = None
        """A byte that was read already, to find out whether the last message ended the input."""
        self._unsent = memoryview(b"")
        """What the channel has not taken yet of a message."""
        self._to_be_answered = 0
        """How many messages the wrapper answers. The next one goes out when it has answered them all."""
        self._ended = False
        self._poll: float | None = INPUT_POLL
        """How long to wait where there is nothing to send now; None until `on_more`."""

    def _next_order(self) -> bytes:
        """Return what goes to the wrapper itself, between two messages."""
        return b""

    def on_more(self, wake: Callable[[], object]) -> None:
        """Have `wake` called when there is more to send. Here nobody adds anything."""

    def opening(self) -> bytes:
        """Return the first messages, which go along with the script; the same ones when it is sent once more."""
        if self._opening is None:
            self._opening = self._next_text(INPUT_FIRST)
        return self._opening

    def advance(self, channel: Channel, section: Section, limit: Deadline) -> float | None:
        """Send what may be sent now, and return for how long to read before calling this again; None for any time.

        The answers of the wrapper are in `section`.
        """
        if not self._unsent:
            self._unsent = memoryview(self._next_order())
        if not self._unsent:
            if self._ended or section.answers < self._to_be_answered:
                return None
            self._unsent = memoryview(self._next_bytes() if section.last_answer else self._next_text(INPUT_TEXT))
            if not self._unsent:
                return self._poll
        taken = channel.write_some(bytes(self._unsent[:65536]))
        self._unsent = self._unsent[taken:]
        if not taken:
            channel.pause(limit.at_most(WRITE_POLL))
        return 0.0

    def read_all(self) -> bytes:
        """Return all that there is now, for a host that has no process to send it to."""
        pieces = []
        while piece := self._read(INPUT_PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def _next_text(self, size: int) -> bytes:
        piece = self._read(size)
        if not piece:
            return self._end(piece)
        text = "".join(AS_FORMAT[byte] for byte in piece)
        self._ahead = self._source.read(1)
        if self._ahead == b"":
            return f"={text}\n".encode() + self._end(b"")
        self._to_be_answered += 1
        return f"+{text}\n".encode()

    def _next_bytes(self) -> bytes:
        piece = self._read(INPUT_PIECE)
        if not piece:
            return self._end(piece)
        self._to_be_answered += 1
        return f"{len(piece)}\n".encode() + piece

    def _read(self, size: int) -> bytes | None:
        ahead, self._ahead = self._ahead, None
        if ahead:
            return ahead + (self._source.read(size - len(ahead)) or b"")
        return self._source.read(size)

    def _end(self, piece: bytes | None) -> bytes:
        """Return the message that ends the input; nothing when there is only nothing to be read yet."""
        if piece is None:
            return b""
        self._ended = True
        return b".\n"


class SentInput:
    """A file of what `Process.send` has sent. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._ended = False

    def add(self, data: bytes) -> None:
        with self._lock:
            self._pieces.append(data)

    def end(self) -> None:
        with self._lock:
            self._ended = True

    @property
    def ended(self) -> bool:
        return self._ended

    def read(self, size: int) -> bytes | None:
        """Return up to `size` bytes, b"" at the end, None when nothing was sent yet."""
        with self._lock:
            if not self._pieces:
                return b"" if self._ended else None
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
            return piece[:size]


class ProcessInput(CommandInput):
    """The stdin of a started process, and the orders to its wrapper. Any thread may add; one sends."""

    may_signal = True

    def __init__(self, given: Input | None) -> None:
        self._sent = SentInput() if given is None else None
        super().__init__(self._sent or given or b"")
        self._orders: deque[bytes] = deque()
        self._wake: Callable[[], object] = lambda: None
        if self._sent is not None:
            self._poll = None

    def on_more(self, wake: Callable[[], object]) -> None:
        self._wake = wake

    def _next_order(self) -> bytes:
        return self._orders.popleft() if self._orders else b""

    @property
    def is_open(self) -> bool:
        """Whether more can be sent."""
        return self._sent is not None and not self._sent.ended

    def send(self, data: bytes) -> None:
        assert self._sent is not None
        self._sent.add(data)
        self._wake()

    def send_eof(self) -> None:
        if self._sent is not None:
            self._sent.end()
            self._wake()

    def order(self, line: str) -> None:
        """Send a line to the wrapper itself."""
        self._orders.append(f"{line}\n".encode())
        self._wake()
