"""A program on a local terminal, read as directly as can be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from .base import Marker, Session

READ = 1 << 16


class Terminal(Session):
    """A shell behind a program on a local terminal, such as ``docker exec -it`` or ``ssh -tt``."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        self._process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, **environ}, start_new_session=True
        )
        os.close(slave)

    def run(self, command: str) -> bytes:
        marker = Marker()
        return self._type(f"{command}; {marker.command}", marker.shown.encode())

    def wait_for(self, command: str, marker: str) -> None:
        self._type(command, marker.encode())

    def _type(self, line: str, end: bytes) -> bytes:
        os.write(self._master, f"{line}\n".encode())
        pieces: list[bytes] = []
        tail = b""
        while end not in tail:
            piece = os.read(self._master, READ)
            pieces.append(piece)
            tail = tail[-len(end) :] + piece
        return b"".join(pieces)

    def close(self) -> None:
        try:
            os.write(self._master, b"exit\n")
            while os.read(self._master, READ):
                pass
        except OSError:
            pass  # a terminal without a program reads as an error
        self._process.wait(20)
        os.close(self._master)
