"""Collects the output of a command for its result, and passes it on to a sink and to the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..limits import TAIL_BYTES
from .matcher import TextStream

Sink = Callable[[str], object]


class TailBuffer:
    """Bytes that arrive in pieces. At least the last `limit` are kept, with None all; ``dropped`` counts the others."""

    def __init__(self, limit: int | None) -> None:
        self._pieces: deque[bytes] = deque()
        self._limit = limit
        self._kept = 0
        self.dropped = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._kept += len(data)
        while self._limit is not None and self._kept - len(self._pieces[0]) >= self._limit:
            size = len(self._pieces.popleft())
            self._kept -= size
            self.dropped += size

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    def text(self) -> str:
        return bytes(self).decode("utf-8", "replace")


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
        self.streams = TailBuffer(limit), TailBuffer(limit)
        self._sink = sink
        self._log = log
        self._decoders = TextStream(), TextStream()

    def add(self, data: bytes, stream: int = 0) -> str:
        """Take a piece of `stream` (0 stdout, 1 stderr), and return it decoded."""
        if not data:
            return ""
        self.keep(data, stream)
        return self._show(self._decoders[stream].feed(data))

    def keep(self, data: bytes, stream: int) -> None:
        """Keep a piece for the result."""
        self.output.add(data)
        if self.separate_streams:
            self.streams[stream].add(data)

    def finish(self) -> None:
        """Pass on the rest, now that no more output will come. A character that was cut off becomes U+FFFD."""
        for decoder in self._decoders:
            self._show(decoder.feed(b"", final=True))

    def _show(self, text: str) -> str:
        if text:
            self._log(text)
            if self._sink is not None:
                self._sink(text)
        return text
