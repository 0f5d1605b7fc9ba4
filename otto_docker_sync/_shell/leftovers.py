"""Processes that could not be ended: those of another user, which our own may not signal, or not even look into.

The plan. Whoever kills a tree (the watcher of a oneshot, the warden) looks afterwards, and reports what is left. Then
other processes end that, each as a user that owns some of it, where the host has a way to become that user
(`Backend.open_shell_as`). What is there after all of this is named.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .._channel.backend import Backend
from .._channel.base import Channel
from .._channel.markers import new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import OttoError
from ..limits import LEFT_TIME, SHOWN_COMMAND, SHOWN_LEFTOVERS
from ..result import shorten
from .scripts import end_left_script, loader

UNKNOWN_END = "it is not known whether all that it started has ended"
REPORT = re.compile(rb"<([0-9a-f]{16}):(\d+)([ \d:]*)\|([ \d:]*)>")


class Report(NamedTuple):
    """What a killer says: a number, and what its last look has found, as words ``PID:START:UID:GID``."""

    number: int = 0
    left: str = ""
    """Processes that should have ended."""
    unseen: str = ""
    """Processes that may belong to them; their environment cannot be read."""


def find_report(nonce: str, data: bytes) -> Report | None:
    """Find the report that `nonce` marks: ``<NONCE:NUMBER LEFT|UNSEEN>``."""
    for match in REPORT.finditer(data):
        if match[1].decode() == nonce:
            return Report(int(match[2]), match[3].decode(), match[4].decode())
    return None


_SOMEBODY = "0:0:0:0"
"""A process of root that may be there, for who has not looked."""


def end_left(
    backend: Backend, report: Report | None, needle: str, keep: int | None = None, *, name_unseen: bool
) -> str:
    """End what `report` has, and everything with `needle` in its environment, but for the shell `keep`.

    None is the report of a killer that did not answer in time: then root ends what it finds. Returns in words what
    could not be ended; with `name_unseen` also what nobody could look into. Does not raise.
    """
    is_known = report is not None
    report = report or Report(unseen=_SOMEBODY)
    if not report.left and not report.unseen:
        return ""
    deadline = Deadline.grace(LEFT_TIME)
    tried: set[str] = set()
    while untried := {_owner(word) for word in f"{report.left} {report.unseen}".split()} - tried:
        owner = min(untried)
        tried.add(owner)
        try:
            channel = backend.open_shell_as(owner, ["-c", loader(nonce := new_nonce())], deadline=deadline)
            if channel is None:
                break
            done = _run(channel, nonce, report._replace(unseen=""), needle, keep, deadline)
        except (OttoError, DeadlineExpired):
            continue
        # Those of this user have been looked into.
        unseen = [word for word in report.unseen.split() if _owner(word) != owner]
        report = Report(0, done.report.left, " ".join(unseen))
    if not is_known:
        return UNKNOWN_END
    if not name_unseen:
        report = report._replace(unseen="")
    return _name(backend, report, needle, keep, deadline) if report.left or report.unseen else ""


def _owner(word: str) -> str:
    return word.split(":", 2)[2]


class _Answer(NamedTuple):
    report: Report
    names: list[tuple[str, str, str, str, str]]
    """Of each process its kind (left or unseen), pid, state, user and command."""


def _run(channel: Channel, nonce: str, report: Report, needle: str, keep: int | None, deadline: Deadline) -> _Answer:
    """Run the script in a shell, and return what it says. Raises `OttoError`, `DeadlineExpired`."""
    out = b""
    try:
        channel.write(end_left_script(nonce, needle, keep, report.left, report.unseen), deadline)
        while (answer := find_report(nonce, out)) is None:
            chunk = channel.read(deadline)
            if chunk.ended:
                raise DeadlineExpired
            out += chunk.out
    finally:
        channel.close()
    text = out.decode("utf-8", "replace")
    return _Answer(answer, re.findall(rf"<{nonce}> (left|unseen) (\d+) (\S) (\S*) (.*)", text))


def _name(backend: Backend, report: Report, needle: str, keep: int | None, deadline: Deadline) -> str:
    """Try once more as our own user, and name what is there then."""
    try:
        channel = backend.open_shell(["-c", loader(nonce := new_nonce())], deadline=deadline)
        names = _run(channel, nonce, report, needle, keep, deadline).names
    except (OttoError, DeadlineExpired):
        pids = [word.partition(":")[0] for word in report.left.split()]
        return f"it is not known whether these processes have ended: {', '.join(pids)}" if pids else UNKNOWN_END
    left, unseen = [], []
    for kind, pid, state, user, command in names:
        process = f"process {pid} of {user} ({shorten(command.strip(), SHOWN_COMMAND)})"
        if kind == "unseen":
            unseen.append(process)
        else:
            why = "waits in the kernel" if state == "D" else f"{backend.id} does not let us end"
            left.append(f"{process}, which {why}")
    texts = []
    if left:
        texts.append(f"still running: {_join(left)}")
    if unseen:
        texts.append(f"perhaps started by it, since their environment cannot be read: {_join(unseen)}")
    return "; ".join(texts)


def _join(texts: list[str]) -> str:
    more = len(texts) - SHOWN_LEFTOVERS
    return ", ".join(texts[:SHOWN_LEFTOVERS]) + (f", and {more} more" if more > 0 else "")
