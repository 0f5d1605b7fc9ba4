"""Collects the output of a command for its result, and passes it on to a sink and to the log."""

from __future__ import annotations

from collections.abc import Callable

from ..limits import TAIL_BYTES
from .matcher import TextStream

Sink = Callable[[str], object]


class TailBuffer:
    """Bytes that arrive in pieces. At least the last `limit` are kept, with None all; ``dropped`` counts the others.

    They are in one block, because many small ones would leave the memory of the process in pieces, too.
    """

    def __init__(self, limit: int | None) -> None:
        self._data = bytearray()
        self._limit = limit
        self.dropped = 0

    def add(self, data: bytes) -> None:
        self._data += data
        if self._limit is not None and len(self._data) > self._limit * 5 // 4:
            excess = len(self._data) - self._limit
            del self._data[:excess]
            self.dropped += excess

    def copy(self) -> TailBuffer:
        """Return another one that holds the same."""
        other = TailBuffer(self._limit)
        other._data += self._data
        other.dropped = self.dropped
        return other

    def take(self) -> bytes:
        """Return the bytes, and hold them no longer where there may be many."""
        data = bytes(self._data)
        if self._limit is None:
            self._data = bytearray()
        return data

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


class Capture:
    """Collects the output of one command. Each piece is decoded and passed to the log and to `sink` as it arrives.

    With a sink, memory is limited: only the last `TAIL_BYTES` bytes of each stream are kept for the result. A reader
    that gets stdout and stderr separately sets ``separate_streams``.
    """

    where_dropped = "went to on_output only"
    """What a message says of bytes that were not kept."""

    def __init__(self, sink: Sink | None, log: Sink) -> None:
        limit = None if sink is None else TAIL_BYTES
        self.separate_streams = False
        self.output = TailBuffer(limit)
        self._stdout: TailBuffer | None = None
        """What came on stdout alone. Only from the first piece on stderr on: before, it is the output."""
        self._stderr = TailBuffer(limit)
        self._sink = sink
        self._log = log
        self._decoders = TextStream(), TextStream()

    def add(self, data: bytes, stream: int = 0) -> str:
        """Take a piece of `stream` (0 stdout, 1 stderr), and return it decoded."""
        if not data:
            return ""
        self.keep(data, stream)
        return self._pass_on(self._decoders[stream].feed(data))

    def keep(self, data: bytes, stream: int) -> None:
        """Keep a piece for the result."""
        if self.separate_streams and stream == 1 and self._stdout is None:
            self._stdout = self.output.copy()
        self.output.add(data)
        if stream == 0 and self._stdout is not None:
            self._stdout.add(data)
        elif stream == 1:
            self._stderr.add(data)

    @property
    def streams(self) -> tuple[TailBuffer, TailBuffer]:
        """What came on stdout and on stderr; as long as nothing came on stderr, the first is ``output``."""
        return self.output if self._stdout is None else self._stdout, self._stderr

    def finish(self) -> None:
        """Pass on the rest, now that no more output will come. A character that was cut off becomes U+FFFD."""
        for decoder in self._decoders:
            self._pass_on(decoder.feed(b"", final=True))

    def _pass_on(self, text: str) -> str:
        if text:
            self._log(text)
            if self._sink is not None:
                self._sink(text)
        return text
