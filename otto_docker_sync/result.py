"""What the verbs return."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union, overload

from .deadline import Timeout
from .errors import CommandFailed, TransferFailed

Command = Union[str, Sequence[str]]
Answer = Union[str, bytes, Callable[[Any], Union[str, bytes]]]
Expects = Union[Mapping[Any, Answer], Sequence[tuple[Any, Answer]], tuple[Any, Answer], None]
"""``expects=`` of a run: pattern to answer, as a mapping or as pairs.

The answer is sent as it is, each time the pattern matches.
"""

LAST_LINES = 10


class Status(Enum):
    """How a command or a transfer ended.

    >>> host.oneshot("true").status is Status.SUCCESS
    True
    """

    SUCCESS = "success"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CommandResult:
    """What became of one command.

    ``output`` is what a terminal would show, ``output_bytes`` the same, undecoded. ``stdout`` and ``stderr`` are apart
    where the process had no tty, else None. ``retcode`` is None when nobody knows it; death by signal n reads 128 + n.
    ``session_ended``: the shell went with the command. ``new_session``: the command ran in a shell that was opened
    because an earlier one had ended, so that earlier state is gone. ``duration`` is in seconds.

    >>> host.run("echo hello").output
    'hello\\n'
    """

    command: str
    output: str = ""
    output_bytes: bytes = field(default=b"", repr=False)
    stdout: str | None = None
    stderr: str | None = None
    status: Status = Status.ERROR
    retcode: int | None = None
    timed_out: bool = False
    session_ended: bool = False
    new_session: bool = False
    message: str = ""
    duration: float = 0.0
    host: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command ran to its end with exit status 0."""
        return self.status is Status.SUCCESS

    @property
    def failed(self) -> bool:
        """The contrary of `ok`."""
        return not self.ok

    @property
    def returncode(self) -> int | None:
        """The same as ``retcode``."""
        return self.retcode

    rc = exit_code = returncode

    def check(self) -> CommandResult:
        """Return self, or raise `CommandFailed` when the command was not `ok`.

        >>> host.run("make").check().output
        """
        if self.ok:
            return self
        outcome = self.message or f"exit status {self.retcode}"
        tail = "\n".join(self.output.splitlines()[-LAST_LINES:])
        raise CommandFailed(
            f"{self.host}: {shorten(self.command)!r}: {outcome}" + (f"; its last lines:\n{tail}" if tail else ""), self
        )


class RunResult(Sequence[CommandResult]):
    """The results of a list of commands, in order.

    >>> host.run(["make", "make check"]).ok
    True
    """

    def __init__(self, results: Sequence[CommandResult]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> CommandResult: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CommandResult]: ...
    def __getitem__(self, index: int | slice) -> CommandResult | Sequence[CommandResult]:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"RunResult({list(self._results)!r})"

    @property
    def status(self) -> Status:
        """That of the first command that is not ok, else SUCCESS."""
        return next((result.status for result in self._results if not result.ok), Status.SUCCESS)

    @property
    def ok(self) -> bool:
        """Whether every command was ok."""
        return self.status is Status.SUCCESS

    @property
    def only(self) -> CommandResult:
        """The one result there is. Raises ValueError when there are more, or none."""
        (result,) = self._results
        return result

    def check(self) -> RunResult:
        """Return self, or raise `CommandFailed` for the first command that is not ok."""
        for result in self._results:
            result.check()
        return self


@dataclass(frozen=True)
class ShellCommand:
    """One command of a list, with what only it needs: responders, and a time-out in seconds.

    >>> host.run([ShellCommand("sudo -S id", expects={"password": "pw\\n"}, timeout=5), "id"])
    """

    cmd: str
    expects: Expects = None
    timeout: Timeout = None


class ExpectMatch(str):
    """All data up to and including a match, as ``expect`` returns it.

    ``index`` is the pattern's place in the list, ``before`` the data in front of the match, ``match`` the `re.Match`
    (None for ``pexpect.EOF`` and ``pexpect.TIMEOUT``).

    >>> host.expect([r"(\\w+) login:", "refused"]).groups()
    ('lab',)
    """

    index: int  # type: ignore[assignment]  # the word of this field; hides str.index
    before: str
    match: re.Match[str] | None

    def __new__(cls, text: str, index: int, before: str, match: re.Match[str] | None) -> ExpectMatch:
        self = super().__new__(cls, text)
        self.index, self.before, self.match = index, before, match
        return self

    def groups(self) -> tuple[str | None, ...]:
        """The groups of the match; an empty tuple where there is none."""
        return self.match.groups() if self.match else ()


@dataclass(frozen=True)
class FileProgress:
    """How far one source of a transfer is: bytes done, and bytes in all (None while unknown)."""

    source: str
    done: int
    total: int | None


@dataclass(frozen=True)
class FileResult:
    """What became of one source of a transfer; ``size`` in bytes, of all its files."""

    source: str
    destination: str
    status: Status
    size: int = 0
    message: str = ""

    @property
    def ok(self) -> bool:
        return self.status is Status.SUCCESS


class TransferResult(Mapping[str, FileResult]):
    """The outcome for each source of a ``put`` or ``get``.

    >>> host.get(["/etc/hostname"], ".")["/etc/hostname"].size
    5
    """

    def __init__(self, results: Mapping[str, FileResult], host: str = "") -> None:
        self._results = dict(results)
        self.host = host

    def __getitem__(self, source: str | os.PathLike[str]) -> FileResult:
        return self._results[os.fspath(source)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"TransferResult({self._results!r})"

    @property
    def status(self) -> Status:
        """That of the first source that is not ok, else SUCCESS."""
        return next((result.status for result in self._results.values() if not result.ok), Status.SUCCESS)

    @property
    def ok(self) -> bool:
        """Whether every source arrived whole."""
        return self.status is Status.SUCCESS

    def check(self) -> TransferResult:
        """Return self, or raise `TransferFailed` that names every source that is not ok."""
        bad = [f"{result.source}: {result.message}" for result in self._results.values() if not result.ok]
        if bad:
            raise TransferFailed(f"{self.host}: {len(bad)} of {len(self)} not transferred:\n" + "\n".join(bad), self)
        return self


def shorten(text: str, length: int = 200) -> str:
    """One line of `text` that fits into a message."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
