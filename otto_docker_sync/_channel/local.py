"""Processes of this machine as channels, on pipes or on a terminal of their own."""

from __future__ import annotations

import atexit
import fcntl
import os
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from ..deadline import Deadline
from ..errors import ConfigError, ConnectError
from ..limits import EXIT_POLL, LOCAL_READ_SIZE, REAP_TIME
from .base import Channel, Chunk
from .descriptors import Descriptors, pipe, select

# The shell in front does what a `preexec_fn` would do, which is not safe in a program with threads. Popen makes the
# shell the leader of a new session; when a session leader opens a terminal, it becomes its controlling terminal. So
# WITH_TTY opens the terminal again. The shell also reports a missing program as a remote shell does: on stderr, with
# status 127.
WITH_PIPES = 'exec "$@"'
WITH_TTY = 'exec <>"$0" >&0 2>&0; exec "$@"'

_processes: dict[subprocess.Popen[bytes], Descriptors] = {}
"""The processes whose exit was not collected yet: somebody has to wait for them, or they become zombies.

Held here, so that the garbage collector never finds one by itself: Python would warn that it still runs.
"""


class LocalChannel(Channel):
    """A program of this machine.

    It owns the process's pipes or terminal. `close` does what sshd does: the terminal hangs up, or stdin ends, and
    nothing else happens to the process. Its exit is collected when the next channel opens, or by `reap`.

    >>> channel = LocalChannel(["uname", "-n"])
    >>> channel.read(Deadline.after(1)).out
    b'workbench\\n'
    >>> channel.close()
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        tty: bool = False,
        term: str = "dumb",
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
    ) -> None:
        reap(Deadline.grace(0))
        self.tty = tty
        self._descriptors = Descriptors()
        self._label = shlex.join(argv)[:80]
        with ExitStack() as undo, ExitStack() as theirs:
            undo.callback(self._descriptors.close)
            ours = self._descriptors.owned
            environ = {**os.environ, **(env or {})}
            if tty:
                self._stdin, slave = os.openpty()
                ours.callback(os.close, self._stdin)
                theirs.callback(os.close, slave)
                _set_size(self._stdin, size)
                for stale in ("COLUMNS", "LINES"):
                    environ.pop(stale, None)
                environ["TERM"] = term
                self._outputs = [self._stdin]
                launch, stdio = [WITH_TTY, os.ttyname(slave)], (slave, slave, slave)
            else:
                stdin, self._stdin = pipe(theirs, ours)
                out, stdout = pipe(ours, theirs)
                err, stderr = pipe(ours, theirs)
                self._outputs = [out, err]
                launch, stdio = [WITH_PIPES, "sh"], (stdin, stdout, stderr)
            self._process = _start(["/bin/sh", "-c", *launch, *argv], environ, stdio)
            _processes[self._process] = self._descriptors
            undo.pop_all()
        self._reading = list(self._outputs)
        self._writing = True
        for fd in (self._stdin, *self._outputs):
            os.set_blocking(fd, False)

    def __repr__(self) -> str:
        return f"<LocalChannel {self._label!r} pid={self._process.pid}{' closed' if self._descriptors.closed else ''}>"

    def read(self, deadline: Deadline) -> Chunk:
        with self._descriptors.using(deadline) as usable:
            while usable and self._reading and not self._descriptors.closed:
                ready = self._descriptors.wait(deadline.wait_time(), self._reading)
                if not ready:
                    deadline.check()
                pieces = [self._drain(fd) if fd in ready else b"" for fd in self._outputs]
                if any(pieces):
                    return Chunk(*pieces)
        return Chunk()

    def write_some(self, data: bytes) -> int:
        with self._descriptors.using() as usable:
            if usable and self._writing:
                try:
                    return os.write(self._stdin, data)
                except BlockingIOError:
                    return 0
                except OSError:
                    pass  # the process reads no more; its output and status say why
        return len(data)

    def write_eof(self) -> None:
        with self._descriptors.using() as usable:
            if usable and self._writing and not self.tty:
                self._writing = False
                # Not simply closed: the number must stay ours, because `using` and `close` still know it. Nor is a file
                # opened in its place: there may be no descriptor left.
                os.dup2(self._outputs[0], self._stdin, inheritable=False)

    def resize(self, columns: int, rows: int) -> None:
        with self._descriptors.using() as usable:
            if usable and self.tty:
                _set_size(self._stdin, (columns, rows))

    def exit_status(self, deadline: Deadline) -> int | None:
        with self._descriptors.using(deadline) as usable, ExitStack() as undo:
            handle: list[int] = []
            while (status := self._process.poll()) is None and usable and not self._descriptors.closed:
                deadline.check()
                handle = handle or _end_of(self._process, undo)
                self._descriptors.wait((deadline if handle else deadline.at_most(EXIT_POLL)).wait_time(), handle)
        return status if status is None or status >= 0 else 128 - status

    def pause(self, deadline: Deadline) -> None:
        with self._descriptors.using(deadline) as usable:
            if usable and self._writing:
                self._descriptors.pause(deadline.wait_time(), [self._stdin])

    def close(self) -> None:
        self._descriptors.close()

    def __del__(self) -> None:
        if hasattr(self, "_descriptors"):
            self.close()

    def _drain(self, fd: int) -> bytes:
        """Return everything that can be read now. At the end of the stream, take `fd` out of those that are read."""
        data, piece = bytearray(), memoryview(bytearray(65536))
        try:
            while len(data) < LOCAL_READ_SIZE:
                size = os.readv(fd, [piece])
                if not size:
                    break
                data += piece[:size]
            else:
                return bytes(data)
        except BlockingIOError:
            return bytes(data)
        except OSError:
            pass  # EIO: no process has the terminal open any more
        if not data:
            self._reading.remove(fd)
        return bytes(data)


def reap(deadline: Deadline) -> None:
    """Collect the exits of processes whose channels were closed. Waits until `deadline` for those that still run.

    >>> reap(Deadline.grace(0.5))
    """
    for process, descriptors in list(_processes.items()):
        if not descriptors.closed:
            continue
        with ExitStack() as undo:
            handle: list[int] = []
            while process.poll() is None and not deadline.expired:
                handle = handle or _end_of(process, undo)
                select((deadline if handle else deadline.at_most(EXIT_POLL)).remaining(), handle)
        if process.returncode is not None:
            _processes.pop(process, None)


@atexit.register
def _reap_at_exit() -> None:
    # The exit of the last command may still be on its way when the program ends, and Python would warn that it runs.
    reap(Deadline.grace(REAP_TIME))


def _start(argv: Sequence[str], environ: Mapping[str, str], stdio: tuple[int, int, int]) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = stdio
    try:
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environ, start_new_session=True)
    except OSError as error:
        raise ConnectError(f"this machine cannot start {shlex.join(argv[4:])[:200]}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"this machine cannot start {shlex.join(argv[4:])[:200]!r}: {error}") from error


def _end_of(process: subprocess.Popen[bytes], undo: ExitStack) -> list[int]:
    """Return a descriptor that becomes readable when the process ends; nothing where the system has none."""
    if sys.platform == "linux":
        with suppress(OSError):
            handle = os.pidfd_open(process.pid)
            undo.callback(os.close, handle)
            return [handle]
    return []


def _set_size(fd: int, size: tuple[int, int]) -> None:
    columns, rows = size
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
