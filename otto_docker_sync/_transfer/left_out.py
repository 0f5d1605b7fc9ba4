"""What does not go along when a tree is copied: one rule for ``put``, ``get`` and the files of a Compose stack.

Sockets, FIFOs and devices have no content to copy, and a link that leads out of a tree is not copied out of a
container. They are left out, and the outcome's message names them. What cannot be read is left out as well, and the
outcome is then FAILED, since something is missing that ought to be there.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

from ..limits import SHOWN_NAMES


@dataclass
class LeftOut:
    """The parts of one tree that were left out, each with the reason."""

    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def skip(self, name: str, reason: str) -> None:
        """Note what is never copied."""
        self.skipped.append(f"{name} ({reason})")

    def unreadable(self, name: str, reason: str | None) -> None:
        """Note what could not be read."""
        self.failed.append(f"{name} ({reason})")

    @property
    def message(self) -> str:
        """What to say of it; empty if nothing was left out."""
        parts = sorted(self.failed) + sorted(self.skipped)
        if not parts:
            return ""
        more = len(parts) - SHOWN_NAMES
        return f"left out: {', '.join(parts[:SHOWN_NAMES])}" + (f" and {more} more" if more > 0 else "")


def describe_type(mode: int) -> str:
    """Return the word for what is neither file, directory nor link."""
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "neither a file, a directory nor a link")
