"""What can be done with one path of a host: each is one flight, by a small script in a shell there.

Questions and changes are oneshots, so a host with warm shells answers them from these. A write is no oneshot, because
that is killed when its client goes; this script still has a stage to remove then.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from .._channel.markers import new_nonce
from .._shell import AS_FORMAT, Runner
from ..deadline import Deadline, DeadlineExpired
from ..errors import (
    ConnectionLost,
    OttoError,
    RemoteFileError,
    RemoteFileExists,
    RemoteFileNotFound,
    RemoteFileTimedOut,
    RemoteIsADirectory,
    RemoteNotADirectory,
    RemotePermissionDenied,
)
from ..limits import EARLY_SIZE
from ..result import CommandResult, Status
from .glob import Pattern
from .script_channel import ScriptChannel
from .scripts import path_script, path_test_script, path_write_script
from .sweep import stage_removed
from .transfer import get

FAILED = 9
"""The exit status of a script that prints an error in place of an answer."""

MISSING = "missing "
"""How `fail` begins when it names a program that is not there."""

REASONS = [
    (r"no such file|nonexistent", errno.ENOENT),
    (r"exists$", errno.EEXIST),
    (r"permission denied", errno.EACCES),
    (r"not permitted", errno.EPERM),
    (r"not a directory|overwrite non-directory", errno.ENOTDIR),
    (r"is a directory|overwrite directory", errno.EISDIR),
    (r"not empty", errno.ENOTEMPTY),
    (r"read-only", errno.EROFS),
    (r"no space", errno.ENOSPC),
    (r"quota", errno.EDQUOT),
    (r"too long", errno.ENAMETOOLONG),
    (r"symbolic link", errno.ELOOP),
    (r"busy", errno.EBUSY),
]
"""What programs and shells say for the error of a system call, in English."""

KINDS: dict[int, type[RemoteFileError]] = {
    errno.ENOENT: RemoteFileNotFound,
    errno.EEXIST: RemoteFileExists,
    errno.EACCES: RemotePermissionDenied,
    errno.EPERM: RemotePermissionDenied,
    errno.ENOTDIR: RemoteNotADirectory,
    errno.EISDIR: RemoteIsADirectory,
}

LINE_SIZE = 16384
"""Bytes in one line of a content that is sent as text."""


class PathOperations:
    """What can be done with one path. Errors are `RemoteFileError` and its subclasses, and what a oneshot raises."""

    def __init__(self, runner: Runner, path: str) -> None:
        self._runner = runner
        self._path = path

    # Questions

    def test(self, operator: str) -> bool:
        """Whether a test of the shell, such as ``-e``, holds."""
        result = self._run(path_test_script(self._path, operator))
        if result.retcode not in (0, 1):
            raise self._error(result.output[-300:])
        return result.ok

    def read(self) -> bytes:
        """The content of a file."""
        status, answer = self._ask("read")
        if status == FAILED and answer == b"missing cat":
            return self._read_without_cat()
        return self._check(status, answer)

    def stat(self, *, follow: bool) -> os.stat_result:
        """What the file system knows of it."""
        words, *times = os.fsdecode(self._answer("stat", follow="L" if follow else "")).split("|")
        mode, *numbers = words.split()
        fields = [int(mode, 16), *map(int, numbers)]
        if len(fields) != 10:
            raise self._error(f"stat answered {words!r}")
        return _stat_result(fields, [_fraction(time) for time in times] or [0, 0, 0])

    def list(self) -> list[str]:
        """The names in a directory."""
        return _names(self._answer("list", ["list"]))

    def glob(self, pattern: Pattern) -> Iterator[PurePosixPath]:
        """What is below it that `pattern` matches, as paths relative to it."""
        status, answer = self._ask("list", then=f"enter\n{pattern.call}\n")
        # A directory that is not there, or cannot be entered, has nothing in it: pathlib has it so.
        return iter(()) if status == FAILED else pattern.select(_names(self._check(status, answer)))

    # Changes

    def change(self, function: str, *arguments: str) -> None:
        """Call a function of ``path_change.sh``."""
        self._answer("change", [function, *arguments])

    def write(self, data: bytes) -> None:
        """Give a file a new content, as a whole or not at all."""
        with self._runner.call(self._runner.deadline(None)) as deadline:
            try:
                if not self._send("raw", len(data), data, deadline):
                    self._send("lines", len(data), _as_lines(data), deadline)
            except DeadlineExpired:
                raise self._unknown(deadline.cancelled) from None
            except ConnectionLost as error:
                raise ConnectionLost(f"{self._label}: nobody knows whether it was written: {error}") from error

    def _send(self, way: str, size: int, data: bytes, deadline: Deadline) -> bool:
        """Send a content to the script. Returns False if the shell there needs it another way."""

        def make_script(nonce: str) -> str:
            return path_write_script(nonce, self._path, size, way)

        # What is small is sent at once, without waiting for an answer. An empty one is not: that is no data to `start`.
        early = data if len(data) <= EARLY_SIZE else b""
        backend = self._runner.backend
        script = backend.retry_once_recovered(
            lambda: ScriptChannel.start(backend, make_script, deadline, early), deadline
        )
        with stage_removed(backend, posixpath.dirname(self._path) or ".", script), script:
            answer = script.next()
            if answer.word == "ready":
                if not early:
                    script.send([data])
                    script.send_end()
                answer = script.next()
        if answer.word == "lines":
            return False
        if answer.word != "written":
            raise self._error(answer.text)
        return True

    # The way to an answer

    def _ask(self, name: str, then: str = "", **values: str) -> tuple[int, bytes]:
        """Run one of the scripts, and return its exit status, and its answer or what `fail` printed."""
        nonce = new_nonce()
        result = self._run(path_script(name, nonce, self._path, **values) + then)
        if result.retcode == FAILED:
            return FAILED, result.stdout_bytes.rpartition(nonce.encode())[2]
        if not result.ok:
            raise self._error(result.output[-300:] or f"the shell ended with status {result.retcode}")
        return 0, result.stdout_bytes

    def _run(self, text: str) -> CommandResult:
        """Run a script to its end, whatever its exit status."""
        # Our scripts are for a POSIX shell, and the user's may read them differently.
        command = text if self._runner.backend.shell == "sh" else ["sh", "-c", text]
        result = self._runner.oneshot(command, log=False)
        if result.retcode is None:
            raise self._unknown("" if result.timed_out else result.message)
        return result

    def _answer(self, name: str, call: Sequence[str] = (), **values: str) -> bytes:
        """As `_ask`, for an answer; an error is raised."""
        return self._check(*self._ask(name, shlex.join(call), **values))

    def _check(self, status: int, answer: bytes) -> bytes:
        if status != 0:
            raise self._error(answer.decode("utf-8", "replace"))
        return answer

    def _read_without_cat(self) -> bytes:
        """Read a file the way in which `get` does where the shell has no tools."""
        with self._runner.call(self._runner.deadline(None)) as deadline, tempfile.TemporaryDirectory() as directory:
            result = get(self._runner.backend, [self._path], directory, deadline=deadline)[self._path]
            if result.status is Status.ERROR:
                raise self._unknown("" if deadline.expired and not deadline.cancelled else result.message)
            if not result.ok:
                raise self._error(result.message)
            return Path(result.destination).read_bytes()

    # Errors

    @property
    def _label(self) -> str:
        return f"{self._runner.backend.id}: {self._path}"

    def _error(self, text: str) -> RemoteFileError:
        """The error that the words of a program stand for."""
        if text.startswith(MISSING):
            return RemoteFileError(
                f"{self._label}: the shell there finds no {text.removeprefix(MISSING)}", None, self._path
            )
        number = _error_number(text)
        reason = os.strerror(number) if number else " ".join(text.split())[-300:]
        return KINDS.get(number or 0, RemoteFileError)(f"{self._label}: {reason}", number, self._path)

    def _unknown(self, reason: str) -> OttoError:
        """The error for a call whose outcome nobody knows; no `reason` is a timeout. Raises `ReservationLost`."""
        self._runner.backend.guard.check()
        if reason:
            return ConnectionLost(f"{self._label}: {reason}")
        return RemoteFileTimedOut(f"{self._label}: timed out (default_timeout)", errno.ETIMEDOUT, self._path)


def _error_number(text: str) -> int | None:
    """What the last words of an error message mean; in front of them there may be names, which may contain anything."""
    words = text.strip().rpartition(": ")[2]
    return next((number for pattern, number in REASONS if re.search(pattern, words, re.IGNORECASE)), None)


def _names(answer: bytes) -> list[str]:
    return [name.decode("utf-8", "surrogateescape") for name in answer.split(b"\0")[:-1]]


def _as_lines(data: bytes) -> bytes:
    """A content as lines that printf turns into it, and the line that says that all is there."""
    pieces = (data[at : at + LINE_SIZE] for at in range(0, len(data), LINE_SIZE))
    lines = ["".join(AS_FORMAT[byte] for byte in piece) for piece in pieces]
    return "\n".join([*lines, ".", ""]).encode()


def _fraction(time: str) -> int:
    """The nanoseconds in a time as ``stat`` writes it for people: some show none."""
    match = re.search(r":\d\d\.(\d+)", time)
    return int(f"{match[1]:0<9}"[:9]) if match else 0


def _stat_result(fields: list[int], fractions: list[int]) -> os.stat_result:
    times = dict(zip(("atime", "mtime", "ctime"), zip(fields[7:], fractions, strict=True), strict=True))
    exact: dict[str, object] = {}
    for name, (seconds, nanoseconds) in times.items():
        exact[f"st_{name}"] = seconds + nanoseconds / 1e9
        exact[f"st_{name}_ns"] = seconds * 1_000_000_000 + nanoseconds
    return os.stat_result(fields, exact)
