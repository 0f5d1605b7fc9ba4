"""What a container has printed, read from ``docker logs``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from .._channel.backend import Backend, Lines, Since
from .._channel.scripts import script
from ..deadline import Deadline, cancellation
from ..errors import ConnectionLost, OttoError
from ..limits import DOCKER_TIME, LOG_PIECE, SHOWN_OUTPUT

TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.?\d*(?:Z|[+-]\d\d:\d\d) ")


class LogReader:
    """Takes the output of ``docker logs --timestamps`` in pieces, and returns the container's own lines.

    What does not begin with a time was printed by a wrapper around the client, or is an error: ``other`` has the end of
    it.
    """

    def __init__(self) -> None:
        self.other: list[str] = []
        self._pieces: list[bytes] = []
        """The beginning of a line whose end has not come yet."""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._pieces, lines[0]])
            self._pieces.clear()
        self._pieces.append(rest)
        return self._own(lines)

    def finish(self) -> list[str]:
        """Return the last line, if it has no end."""
        last = b"".join(self._pieces)
        self._pieces.clear()
        return self._own([last] if last else [])

    def add_other(self, data: bytes) -> None:
        """Take what cannot be the container's."""
        self.other = [*self.other, *data.decode("utf-8", "replace").splitlines()][-SHOWN_OUTPUT:]

    def _own(self, lines: list[bytes]) -> list[str]:
        own = []
        for line in lines:
            if TIME.match(line):
                own.append(_without_times(line.rstrip(b"\r")).decode("utf-8", "replace"))
            else:
                self.add_other(line)
        return own


def read_log_text(text: str) -> list[str]:
    """Return the container's own lines in the whole output of ``docker logs --timestamps``.

    >>> read_log_text("2026-01-31T12:00:00.000000000Z ready\\n")
    ['ready']
    """
    reader = LogReader()
    return reader.feed(text.encode()) + reader.finish()


def _without_times(line: bytes) -> bytes:
    """Remove the time in front of a line, and those inside of a long one, which docker keeps in pieces."""
    pieces = []
    while time := TIME.match(line):
        pieces.append(line[time.end() : time.end() + LOG_PIECE])
        line = line[time.end() + LOG_PIECE :]
    return b"".join([*pieces, line])


@dataclass(frozen=True)
class LogRequest:
    """Which part of a log is wanted: see `Backend.read_log`."""

    tail: int | None
    since: Since
    follow: bool

    @property
    def options(self) -> list[str]:
        """The options of ``docker logs``.

        >>> LogRequest(tail=10, since=None, follow=True).options
        ['--follow', '--tail=10']
        """
        options = ["--follow"] if self.follow else []
        if self.tail is not None:
            options.append(f"--tail={self.tail}")
        if isinstance(self.since, datetime):
            options.append(f"--since={self.since.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
        return options

    @property
    def ago(self) -> str:
        """How many nanoseconds before now it begins, for the clock of the parent; '' where it is not given so."""
        return "" if self.since is None or isinstance(self.since, datetime) else str(int(self.since * 1e9))


def read_log(
    parent: Backend,
    container: str,
    wanted: LogRequest,
    deadline: Deadline,
    explain: Callable[[bytes, int | None], OttoError],
) -> Lines:
    """The lines that a container has printed; to follow them ends with the container, or when the iterator is closed.

    `explain` makes an error of what the client says when it fails. Raises `DeadlineExpired`, `ConnectError`,
    `ConnectionLost`.
    """
    text = script(
        __package__,
        "container_log",
        docker=shlex.join(parent.docker_command()),
        options=shlex.join(wanted.options),
        container=container,
        ago=wanted.ago,
    )
    channel = parent.open_shell(["-c", text], deadline=deadline)
    reader = LogReader()
    try:
        while not (chunk := channel.read(_also_cancelled_now(deadline))).ended:
            # The script sends both streams of the client to stdout; a shell's own messages can come on stderr.
            reader.add_other(chunk.err)
            yield from reader.feed(chunk.out)
        yield from reader.finish()
        status = channel.exit_status(deadline.at_most(DOCKER_TIME))
        if status:
            raise explain("\n".join(reader.other).encode(), status)
    finally:
        with suppress(ConnectionLost):
            channel.write_some(b"end\n")
        channel.close()


def _also_cancelled_now(deadline: Deadline) -> Deadline:
    """An iterator that is awaited has another call around each of its steps."""
    surrounding = cancellation.get()
    return deadline if surrounding is None else deadline.also(surrounding)
