"""Markers, by which the output of a command is distinguished from everything else that a remote shell prints.

A marker holds a nonce made for this one use, and the shell puts it together from two halves, so that the echo of the
text that prints a marker never looks like one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ConfigError

DIGITS = b"0123456789"


def new_nonce() -> str:
    """64 bits that no earlier output can hold."""
    return secrets.token_hex(8)


def encode_command(text: str | bytes) -> bytes:
    """The bytes of a command. Raises `ConfigError` for a NUL, which no shell can take."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ConfigError("the command holds a NUL byte, which no shell can take; write it as printf '\\000'")
    return data


@dataclass(frozen=True)
class BeginMarker:
    """Prints as ``<nonce>`` and a line end, which tells how the tty ends lines."""

    first: str = field(default_factory=new_nonce)
    second: str = field(default_factory=new_nonce)

    @property
    def output(self) -> bytes:
        return f"<{self.first}{self.second}>".encode()

    @property
    def command(self) -> str:
        """The shell text that prints the marker, and does not look like it."""
        return f"\\command printf '<%s%s>\\n' {self.first} {self.second}"


class EndMatch(NamedTuple):
    """Where an end marker was found, and the exit status that it carries."""

    start: int
    end: int
    retcode: int


@dataclass(frozen=True)
class EndMarker:
    """Prints as a prefix, the exit status in decimal, and a suffix."""

    prefix: bytes
    suffix: bytes = b">"

    def search(self, data: bytes) -> EndMatch | None:
        """Find the marker in `data`. Not by a regex: each command has its own marker, and compiling takes longer."""
        start = data.find(self.prefix)
        while start >= 0:
            status = data[start + len(self.prefix) :]
            rest = status.lstrip(DIGITS)
            length = len(status) - len(rest)
            if length and rest.startswith(self.suffix):
                end = start + len(self.prefix) + length + len(self.suffix)
                return EndMatch(start, end, int(status[:length]))
            start = data.find(self.prefix, start + 1)
        return None

    def may_start_with(self, tail: bytes) -> bool:
        """Whether more bytes could make `tail` this marker."""
        if len(tail) <= len(self.prefix):
            return self.prefix.startswith(tail)
        return tail.startswith(self.prefix) and self.suffix.startswith(tail[len(self.prefix) :].lstrip(DIGITS))


def first_end(markers: Iterable[EndMarker], data: bytes) -> EndMatch | None:
    """Find the first of some end markers in `data`."""
    matches = [match for marker in markers if (match := marker.search(data))]
    return min(matches, default=None)
