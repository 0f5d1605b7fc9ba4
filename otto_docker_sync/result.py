"""What the verbs take and return."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union, overload

from .deadline import Timeout
from .errors import CommandFailed, CommandTimedOut, TransferFailed
from .limits import SHOWN_OUTPUT, SHOWN_REPR

Command = Union[str, Sequence[str]]
"""What ``oneshot`` runs: text for the host's shell, or a program and its arguments, without a shell."""

Pattern = Union[str, bytes, "re.Pattern[str]", "re.Pattern[bytes]", type[Exception]]
"""What ``expect`` waits for: a regular expression, or one of the classes ``pexpect.EOF`` and ``pexpect.TIMEOUT``."""

Patterns = Union[Pattern, Sequence[Pattern]]
"""One pattern, or a list: the earliest match in the output wins."""

Answer = Union[str, bytes, Callable[["ExpectMatch"], Union[str, bytes]]]
"""What is sent when a pattern matches: as it is, without a line end added. A function is called with the match."""

Expects = Union[
    # A mapping's type of keys is invariant, so a variable of type dict[str, str] fits only the first of these.
    Mapping[str, Answer],
    Mapping[str, str],
    Mapping["re.Pattern[str]", Answer],
    Mapping[Pattern, Answer],
    Sequence[tuple[Pattern, Answer]],
    tuple[Pattern, Answer],
    None,
]
"""``expects=`` of a run: patterns and their answers, as a mapping or as pairs.

The answer is sent each time its pattern matches.
"""

Paths = Union[str, "os.PathLike[str]", Iterable[Union[str, "os.PathLike[str]"]]]
"""The sources of ``put`` and ``get``: one path, or many."""


class Status(Enum):
    """How a command or a transfer ended.

    >>> host.oneshot("true").status is Status.SUCCESS
    True
    """

    SUCCESS = "success"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, repr=False)
class CommandResult:
    """How one command ended, and what it wrote. True when it is `ok`.

    - ``command``: the command as it was given; ``host``: the id of the host that it ran on
    - ``output``: what a terminal would show; ``output_bytes``: the same, not decoded
    - ``stdout``, ``stderr`` and ``stdout_bytes``, ``stderr_bytes``: the two streams separately. A process
      on a terminal has only one stream: there stdout is the output, and stderr is empty
    - ``status``: a `Status`; ``retcode``: the exit status, None when nobody knows it. Death by signal
      n reads 128 + n
    - ``timed_out``: the command was ended because its time was over
    - ``session_ended``: the shell ended with the command
    - ``new_session``: the command ran in a new shell because an earlier one had ended, so the state of
      that one (directory, variables) is gone
    - ``message``: why there is no exit status, or what else should be known
    - ``duration``: seconds, with the time to connect and to open the shell

    >>> host.run("echo hello").output
    'hello\\n'
    >>> if host.oneshot("test -e /etc/app.conf"):
    ...     print("configured")
    """

    command: str
    output: str = ""
    output_bytes: bytes = b""
    stdout: str = ""
    stderr: str = ""
    status: Status = Status.ERROR
    retcode: int | None = None
    timed_out: bool = False
    session_ended: bool = False
    new_session: bool = False
    message: str = ""
    duration: float = 0.0
    host: str = ""
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        lines = self.output.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        shown = f", last line {shorten(last, SHOWN_REPR)!r}" if last else ""
        command = shorten(self.command, SHOWN_REPR)
        return _masked(f"<CommandResult {self.host}: {command!r}: {self._outcome()}{shown}>")

    def _outcome(self) -> str:
        if self.message:
            return shorten(self.message)
        return self.status.value if self.retcode is None else f"exit status {self.retcode}"

    @property
    def ok(self) -> bool:
        """Whether the command ran to its end with exit status 0."""
        return self.status is Status.SUCCESS

    @property
    def failed(self) -> bool:
        """True unless `ok`."""
        return not self.ok

    @property
    def returncode(self) -> int | None:
        """The same as ``retcode``."""
        return self.retcode

    rc = exit_code = returncode

    def check(self) -> CommandResult:
        """Return self when the command was `ok`.

        Raises `CommandTimedOut` when its time was over, `CommandFailed` otherwise.

        >>> host.run("make").check().output
        """
        __tracebackhide__ = True  # pytest shows the caller's line, not ours
        if self.ok:
            return self
        outcome = self.message or f"exit status {self.retcode}"
        text = f"{self.host}: {shorten(self.command)!r}: {outcome}"
        tail = "\n".join(self.output.splitlines()[-SHOWN_OUTPUT:])
        if tail:
            text += f"; its last lines:\n{tail}"
        raise (CommandTimedOut if self.timed_out else CommandFailed)(text, self)


class RunResult(Sequence[CommandResult]):
    """The results of a list of commands, in order. True when all of them are ok.

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

    def __bool__(self) -> bool:
        return self.ok

    def __eq__(self, other: object) -> bool:
        return self._results == other._results if isinstance(other, RunResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._results)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for result in self._results:
            counts[result.status.value] = counts.get(result.status.value, 0) + 1
        listed = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no commands"
        first = next((f"; first: {result!r}" for result in self._results if not result.ok), "")
        return f"<RunResult {listed}{first}>"

    @property
    def status(self) -> Status:
        """The status of the first command that is not ok, else SUCCESS."""
        return next((result.status for result in self._results if not result.ok), Status.SUCCESS)

    @property
    def ok(self) -> bool:
        """Whether every command was ok."""
        return self.status is Status.SUCCESS

    @property
    def output(self) -> str:
        """The output of all commands, one after the other."""
        return "".join(result.output for result in self._results)

    @property
    def only(self) -> CommandResult:
        """The single result. Raises ValueError when there are more, or none."""
        (result,) = self._results
        return result

    def check(self) -> RunResult:
        """Return self, or raise `CommandFailed` for the first command that is not ok."""
        __tracebackhide__ = True
        for result in self._results:
            result.check()
        return self


@dataclass(frozen=True)
class ShellCommand:
    """One command of a list: `cmd`, with `expects` and a `timeout` (in seconds) of its own, as `run` takes them.

    >>> host.run([ShellCommand("sudo -S id", expects={"password": "pw\\n"}, timeout=5), "id"])
    """

    cmd: str
    expects: Expects = None
    timeout: Timeout = None


class ExpectMatch(str):
    """All data up to and including a match, as ``expect`` returns it.

    - ``index``: the place of the pattern in the list that was given
    - ``before``: the data in front of the match
    - ``match``: the `re.Match`; None for ``pexpect.EOF`` and ``pexpect.TIMEOUT``, and in a match that
      was pickled, because Python cannot pickle it. `groups` works there too

    >>> host.expect([r"(\\w+) login:", "refused"]).groups()
    ('lab',)
    """

    index: int  # type: ignore[assignment]  # the word of this field; hides str.index
    before: str
    match: re.Match[str] | None

    def __new__(cls, text: str, index: int, before: str, match: re.Match[str] | None) -> ExpectMatch:
        self = super().__new__(cls, text)
        self.index, self.before, self.match = index, before, match
        self._groups = match.groups() if match else ()
        return self

    _groups: tuple[str | None, ...]

    def groups(self) -> tuple[str | None, ...]:
        """The groups of the match; an empty tuple when there is no match."""
        return self._groups

    def __reduce__(self) -> tuple[Any, ...]:
        state = {**vars(self), "match": None}
        return ExpectMatch, (str(self), self.index, self.before, None), state

    def __copy__(self) -> ExpectMatch:
        return self  # as with any str, a copy is the same object

    def __deepcopy__(self, memo: object) -> ExpectMatch:
        return self


@dataclass(frozen=True)
class FileProgress:
    """How far a transfer is with one `source`: bytes `done`, and bytes in `total` (None while unknown)."""

    source: str
    done: int
    total: int | None


@dataclass(frozen=True, repr=False)
class FileResult:
    """How the transfer of one source ended. True when it is `ok`.

    ``source`` and ``destination`` are paths, ``status`` is a `Status`, ``size`` the bytes of all its files, ``message``
    why it is not ok.
    """

    source: str
    destination: str
    status: Status
    size: int = 0
    message: str = ""

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        outcome = shorten(self.message) if self.message else self.status.value
        return _masked(f"<FileResult {self.source} -> {self.destination}: {outcome}, {self.size} bytes>")

    @property
    def ok(self) -> bool:
        """Whether the source arrived whole."""
        return self.status is Status.SUCCESS


class TransferResult(Mapping[str, FileResult]):
    """The outcome for each source of a ``put`` or ``get``. True when all of them are ok.

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

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        good = sum(result.ok for result in self._results.values())
        first = next((f"; first: {result!r}" for result in self._results.values() if not result.ok), "")
        return f"<TransferResult {self.host}: {good} of {len(self)} transferred{first}>"

    @property
    def status(self) -> Status:
        """The status of the first source that is not ok, else SUCCESS."""
        return next((result.status for result in self._results.values() if not result.ok), Status.SUCCESS)

    @property
    def ok(self) -> bool:
        """Whether every source arrived whole."""
        return self.status is Status.SUCCESS

    def check(self) -> TransferResult:
        """Return self, or raise `TransferFailed` that names every source that is not ok."""
        __tracebackhide__ = True
        bad = [f"{result.source}: {result.message}" for result in self._results.values() if not result.ok]
        if bad:
            raise TransferFailed(f"{self.host}: {len(bad)} of {len(self)} not transferred:\n" + "\n".join(bad), self)
        return self


def _masked(text: str) -> str:
    from .logs import masked  # `import otto_docker_sync` does without logging

    return masked(text)


def shorten(text: str, length: int = 200) -> str:
    """One line of `text` that fits into a message."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
