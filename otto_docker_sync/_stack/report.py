"""Separates what the scripts of a stack report from the output of the programs that they call."""

from __future__ import annotations

import base64
import gzip
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from .._channel.base import Chunk
from .._shell import TextStream
from ..limits import SHOWN_COMPOSE
from ..logs import masked

logger = logging.getLogger("otto_docker_sync.compose")


@dataclass
class ScriptReport:
    """The words that a script reported, and the lines that others printed meanwhile."""

    words: list[tuple[str, str, int]] = field(default_factory=list)
    """A word, the text that follows it, and how many lines of others came before."""
    other: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, nonce: str) -> ScriptReport:
        """Read the output of a script: lines that begin with ``<nonce>`` are its own."""
        report = cls()
        marker = f"<{nonce}> "
        for line in text.splitlines():
            if line.startswith(marker):
                word, _, rest = line[len(marker) :].partition(" ")
                report.words.append((word, rest, len(report.other)))
            elif line.strip():
                report.other.append(line)
        return report

    def __contains__(self, word: str) -> bool:
        return any(reported == word for reported, *_ in self.words)

    def all(self, word: str) -> list[str]:
        """Return the texts of all reports of `word`."""
        return [text for reported, text, _ in self.words if reported == word]

    def first(self, word: str) -> str:
        """Return the text of the first report of `word`, '' when there is none."""
        return next(iter(self.all(word)), "")

    def data(self, word: str) -> bytes:
        """Return the bytes of a report that was packed, so that no terminal could change them."""
        return gzip.decompress(base64.b64decode(self.first(word)))

    def sections(self, word: str) -> Iterator[tuple[str, ScriptReport]]:
        """For each report of `word`: its text, and all that came after it up to the next one."""
        starts = [index for index, (reported, *_) in enumerate(self.words) if reported == word]
        for start, end in zip(starts, [*starts[1:], len(self.words)], strict=True):
            _, text, line = self.words[start]
            last_line = self.words[end][2] if end < len(self.words) else len(self.other)
            yield text, ScriptReport(self.words[start + 1 : end], self.other[line:last_line])

    def last_lines(self) -> str:
        """Return the end of what others printed, for an error's text."""
        return "\n".join(self.other[-SHOWN_COMPOSE:]) or "there was no output"


class TaggedOutput:
    """The report of a script that still runs."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._text = ""
        self._streams = TextStream(newlines=True), TextStream(newlines=True)

    def add(self, chunk: Chunk) -> None:
        """Take in what the script's channel gave."""
        self._text += self._streams[0].feed(chunk.out) + self._streams[1].feed(chunk.err)

    def report(self) -> ScriptReport:
        """Return what was reported so far, in whole lines."""
        return ScriptReport.parse(self._text[: self._text.rfind("\n") + 1], self._nonce)


class LoggedLines:
    """Logs the lines of a script's output that are not its own words, and keeps all of it.

    `nonce` is that of the script, by which its own words are known.
    """

    def __init__(self, prefix: str) -> None:
        self.nonce = ""
        self._prefix = prefix
        self._pieces: list[str] = []
        self._rest = ""

    @property
    def text(self) -> str:
        """All output so far."""
        return "".join(self._pieces)

    def add(self, piece: str) -> None:
        """Take the next piece of the output."""
        self._pieces.append(piece)
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in lines:
            if line.strip() and not line.startswith(f"<{self.nonce}>"):
                text = masked(line.strip())
                logger.info("%s%s", self._prefix, text, extra={"otto_compose_line": text})
