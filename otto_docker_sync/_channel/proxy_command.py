"""A ProxyCommand: a program whose stdin and stdout carry a connection."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress

from ..limits import PROXY_EXIT_TIME, PROXY_STDERR
from .tcp import SocketStream


class CommandStream(SocketStream):
    """One end of a ProxyCommand. It owns the program, and keeps the end of what that writes to stderr.

    >>> stream = CommandStream("nc -x proxy.example:1080 carrot 22")
    """

    may_be_retried = False  # it would fail the same way, and each attempt may count as a break-in somewhere

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                ["sh", "-c", command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        super().__init__(ours)
        assert self._process.stderr is not None
        self._errors = self._process.stderr
        self._said = b""
        os.set_blocking(self._errors.fileno(), False)

    def receive(self, size: int, timeout: float) -> bytes | None:
        try:
            data = super().receive(size, timeout)
        except OSError:  # it ended with something unread: `reason` knows more than that
            data = b""
        self._read_errors()  # also while all is well: a full pipe would stop the program
        return data

    def send(self, data: bytes, timeout: float) -> int:
        try:
            return super().send(data, timeout)
        except OSError:  # nobody reads any more: `receive` finds the end
            return len(data)

    def close(self) -> None:
        super().close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._errors.close()

    def close_in_child(self) -> None:
        super().close_in_child()
        self._errors.close()

    def reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PROXY_EXIT_TIME)
        status = self._process.returncode
        if status is None:
            text = "its ProxyCommand closed the connection"
        elif status < 0:
            text = f"its ProxyCommand was killed by signal {-status}"
        else:
            text = f"its ProxyCommand ended with status {status}"
        complaint = self.complaint()
        return f"{text}: {complaint}" if complaint else text

    def complaint(self) -> str:
        self._read_errors()
        return " ".join(self._said.decode(errors="replace").split())

    def _read_errors(self) -> None:
        try:
            while piece := os.read(self._errors.fileno(), 65536):
                self._said = (self._said + piece)[-PROXY_STDERR:]
        except (BlockingIOError, ValueError):  # nothing there now; closed already
            pass
