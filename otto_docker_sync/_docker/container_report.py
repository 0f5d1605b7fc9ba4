"""How a container is, and what it has printed since a moment: for the report of a test that failed."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from time import monotonic

from .._channel.backend import HostState, Lines
from ..limits import EVIDENCE_LINE, REPORT_LINES


@dataclass
class ContainerReport:
    """What docker says of a container, read from the answers of ``container_report.sh``."""

    state: str = "unknown"
    processes: list[str] = field(default_factory=list)
    now: float = 0.0
    """The seconds since 1970 by the parent's clock."""

    @classmethod
    def parse(cls, answers: Iterable[str]) -> ContainerReport:
        """Read the answers."""
        report = cls()
        for word, _, text in (answer.partition(" ") for answer in answers):
            if word == "state":
                report.state = describe_state(text.split("|"))
            elif word == "process":
                report.processes.append(text)
            elif word == "now":
                report.now = seconds(text)
        return report

    def text(self, log: Sequence[str]) -> str:
        """The report as people read it, with the lines that the container has printed."""
        lines = [f"It is {self.state}.", ""]
        if self.processes:
            lines += ["Its processes:", *(f"  {line}" for line in self.processes), ""]
        if log:
            lines += ["It printed during the test:", *(f"  {line}" for line in log)]
        else:
            lines += ["It printed nothing during the test."]
        return "\n".join(lines)


def describe_state(fields: Sequence[str]) -> str:
    """Say how a container is: status, exit status, whether memory was short, restarts, health.

    >>> describe_state(["exited", "137", "true", "2", ""])
    'exited with status 137, killed because it was out of memory, restarted 2 times'
    """
    status, exit_status, out_of_memory, restarts, health = [*fields, "", "", "", "", ""][:5]
    words = [f"{status} with status {exit_status}" if status in ("exited", "dead") else status]
    if out_of_memory == "true":
        words.append("killed because it was out of memory")
    if restarts not in ("", "0"):
        words.append(f"restarted {restarts} times")
    if health not in ("", "none"):
        words.append(health)
    return ", ".join(words)


def read_state(answer: str) -> HostState:
    """Read the answer of ``container_status.sh``."""
    fields = answer.split("|", 7)
    word, exit_status, _, restarts, health, started_at, finished_at, probes = fields
    try:
        probe = str(json.loads(probes)[-1]["Output"])
    except (ValueError, LookupError, TypeError):  # no check, none so far, or a client that shows them differently
        probe = ""
    began_at = None
    with suppress(ValueError):
        started, finished = seconds(started_at), seconds(finished_at)
        if finished > 0:
            # Docker notes the start when the container has printed its first lines, and the end when it still reads the
            # last ones. Between an end and the next start it lets at least a tenth of a second pass.
            began_at = datetime.fromtimestamp(max(finished, (finished + started) / 2), timezone.utc)
    health = "" if health == "none" else health
    return HostState(word, int(exit_status), int(restarts or 0), health, probe, began_at, describe_state(fields[:5]))


def seconds(text: str) -> float:
    """Return the seconds since 1970 of a date and time in UTC; some ``date`` programs know no fraction."""
    match = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?", text)
    if match is None:
        raise ValueError(text)
    return datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


def moment_of(report: ContainerReport, started_at: float) -> datetime:
    """Return a moment of our monotonic clock as one of the parent's, right after the report came."""
    return datetime.fromtimestamp(report.now, timezone.utc) - timedelta(seconds=monotonic() - started_at)


def last_lines(lines: Lines) -> list[str]:
    """Return the last REPORT_LINES lines of a log, each cut where it is too long to be read."""
    kept: deque[str] = deque(maxlen=REPORT_LINES + 1)
    for line in lines:
        kept.append(line if len(line) <= EVIDENCE_LINE else f"{line[:EVIDENCE_LINE]}… ({len(line)} characters)")
    if len(kept) > REPORT_LINES:
        kept[0] = "…"
    return list(kept)
