"""What the containers that a test has used have to say when the test fails: for pytest and Robot Framework."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from .._channel.backend import Backend
from .._channel.scripts import script
from .._shell import Capture, observers, run_oneshot
from ..deadline import Cancellation, Deadline, DeadlineExpired
from ..errors import ConnectError, OttoError
from ..limits import COLLECT_SIZE, COLLECT_TIME, EVIDENCE_TIME
from ..logs import masked
from ..result import FileProgress

WILDCARD = re.compile(r"[*?\[]")


class Section(NamedTuple):
    """The evidence of one container."""

    host: str
    text: str


class Evidence:
    """Notes which hosts a test uses, and asks their containers when it has failed. A test that passes costs nothing.

    A host with ``log=False`` is left out. What cannot be had is a sentence in the evidence, and no error. Hosts may be
    used in any thread; the methods are for one thread.

    >>> evidence.start()
    >>> evidence.begin()
    >>> run_test()
    >>> print(evidence.collect())
    """

    def __init__(self) -> None:
        self._used: dict[str, Backend] = {}
        """By the id of the host: a test may have several objects for the same one."""
        self._started_at = monotonic()

    def start(self) -> None:
        """Note the hosts that are used from now on."""
        observers.append(self._note)

    def stop(self) -> None:
        """Note no more."""
        observers.remove(self._note)

    def _note(self, backend: Backend) -> None:
        self._used[backend.id] = backend

    def begin(self) -> None:
        """A test begins."""
        self._used.clear()
        self._started_at = monotonic()

    def collect(self, patterns: Sequence[str] = (), directory: Path | None = None) -> list[Section]:
        """Return what the containers say that were used since `begin`, and log it. Does not raise.

        What each printed meanwhile, its state and its processes; and the files that `patterns` name in it, which are
        copied to a directory for each below `directory`.
        """
        deadline = Deadline.grace(EVIDENCE_TIME)
        sections = []
        for backend in [used for used in list(self._used.values()) if used.log.log]:
            try:
                pinned = backend.pinned(deadline)
                text = pinned.report(self._started_at, deadline)
                if text and patterns and directory is not None:
                    text += _collect_files(pinned, patterns, directory / backend.id)
            except (OttoError, DeadlineExpired) as error:
                text = f"How it is cannot be told: {_reason(error, EVIDENCE_TIME)}"
            if text:
                text = masked(text)
                backend.log.write(logging.INFO, "evidence", text, is_masked=True)
                sections.append(Section(backend.id, text))
        return sections


def _reason(error: Exception, limit: float) -> str:
    return f"docker did not answer within {limit:.0f} s" if isinstance(error, DeadlineExpired) else str(error)


def _collect_files(backend: Backend, patterns: Sequence[str], directory: Path) -> str:
    """Get the files that the patterns name, each to its own path below `directory`, and say where they are."""
    from .._transfer import get

    too_much = Cancellation(f"there is more than {COLLECT_SIZE >> 20} MiB of them, and the rest was left out")
    deadline = Deadline.grace(COLLECT_TIME).also(too_much)
    arrived: dict[str, int] = {}

    def count(progress: FileProgress) -> None:
        arrived[progress.source] = progress.done
        if sum(arrived.values()) > COLLECT_SIZE:
            too_much.cancel()

    lines = []
    for pattern in patterns:
        try:
            for folder, paths in _files_of(backend, pattern, deadline).items():
                place = directory / posixpath.normpath(f"/{folder}").lstrip("/")
                place.mkdir(parents=True, exist_ok=True)
                result = get(backend, paths, place, progress=count, deadline=deadline)
                lines += [
                    f"{file.source} is in {file.destination}" if file.ok else f"{file.source}: {file.message}"
                    for file in result.values()
                ]
        except (OttoError, DeadlineExpired, OSError) as error:
            lines.append(f"{pattern} could not be had: {deadline.cancelled or _reason(error, COLLECT_TIME)}")
    return "".join(f"\n{line}" for line in ["", *lines]) if lines else ""


def _files_of(backend: Backend, pattern: str, deadline: Deadline) -> dict[str, list[str]]:
    """Return the files that a pattern names, by their directories."""
    paths = [pattern]
    if WILDCARD.search(pattern):  # a plain path can be had from a container that has ended, too
        capture = Capture(None, lambda _: None)
        outcome = run_oneshot(backend, script(__package__, "find_files", otto_pattern=pattern), deadline, capture)
        if outcome.retcode is None:
            raise ConnectError(f"{backend.id}: {outcome.message}")
        paths = capture.streams[0].text().split("\0")[:-1]
    folders: dict[str, list[str]] = {}
    for path in paths:
        folders.setdefault(posixpath.dirname(path), []).append(path)
    return folders
