"""Someone in front of a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import pexpect
import pyte


class PtyUser:
    """Starts a Python program on a real terminal of 80 by 24, types, and looks at the screen.

    >>> someone = PtyUser("print(input())")
    >>> someone.type("hello\\n"); someone.see("hello")
    """

    def __init__(self, program: str, *argv: str, **environ: str) -> None:
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._unseen: list[bytes] = []
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable,
            ["-c", program, *argv],
            env={**os.environ, "TERM": "linux", "PS1": "$ ", "ENV": "", **environ},
            dimensions=(24, 80),
            timeout=60,
        )

    def see(self, wanted: str | Callable[[list[str]], bool]) -> list[str]:
        """Look at the screen until it shows what is wanted: after the first line that arrives, and after all of it."""
        until = time.monotonic() + 60
        while True:
            rows = [row.rstrip() for row in self.screen.display]
            if wanted(rows) if callable(wanted) else wanted in "\n".join(rows):
                return rows
            assert time.monotonic() < until, "\n".join([f"not seen: {wanted}", *rows])
            if not self._unseen:
                try:
                    first, newline, rest = self.child.read_nonblocking(65536, timeout=0.2).partition(b"\n")
                except pexpect.TIMEOUT:
                    continue
                except pexpect.EOF:
                    until = 0.0
                    continue
                self._unseen = [first + newline, rest]
            self._stream.feed(self._unseen.pop(0))

    def type(self, text: str | bytes) -> None:
        self.child.send(text)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def leave(self) -> None:
        self.child.close(force=True)
