"""Markers, by which the output of a command is distinguished from everything else that a remote shell prints.

A marker holds a nonce made for this one use, and the shell puts it together from two halves, so that the echo of the
text that prints a marker never looks like one.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class EndMarker:
    """Prints as a prefix, the exit status in decimal, and a suffix."""

    prefix: bytes
    suffix: bytes = b">"

    @property
    def pattern(self) -> bytes:
        return re.escape(self.prefix) + rb"(\d+)" + re.escape(self.suffix)

    def may_start_with(self, tail: bytes) -> bool:
        """Whether more bytes could make `tail` this marker."""
        if len(tail) <= len(self.prefix):
            return self.prefix.startswith(tail)
        return tail.startswith(self.prefix) and self.suffix.startswith(tail[len(self.prefix) :].lstrip(DIGITS))
