"""What processes that fight for tags write down, and the checker, which reads nothing else and knows no backend.

Each line of a history is one event: time (CLOCK_MONOTONIC), process, event, request, then what belongs to it. A process
takes the time of ``touch`` *before* it asks whether it still holds its tags, so that a process that is stopped between
the two is not blamed for what it writes afterwards.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path


class History:
    """Appends events to one file, from many processes."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, event: str, request: str = "", at: float | None = None, **more: object) -> None:
        at = time.monotonic() if at is None else at
        line = json.dumps([at, os.getpid(), event, request, more]) + "\n"
        os.write(self._file, line.encode())  # one call: whole lines only

    def close(self) -> None:
        os.close(self._file)


@dataclass
class Story:
    """What became of one request."""

    id: str
    pid: int
    tags: frozenset[str] = frozenset()
    shared: bool = False
    fence: int = 0
    began: float = 0.0
    entered: float | None = None
    granted: float | None = None
    touches: list[float] = field(default_factory=list)
    ended: str = ""

    def excludes(self, other: Story) -> bool:
        return not (self.shared and other.shared) and not self.tags.isdisjoint(other.tags)


def check(path: Path) -> list[str]:
    """Everything that is wrong in a history; empty when nothing is."""
    stories: dict[str, Story] = {}
    killed: dict[int, float] = {}
    stopped: set[int] = set()
    clashes: list[tuple[str, str]] = []
    for line in path.read_text().splitlines():
        at, pid, event, request, more = json.loads(line)
        if event == "kill":
            killed[more["target"]] = at
        elif event == "stop":
            stopped.add(more["target"])
        elif event == "begin":
            stories[request] = Story(request, pid, frozenset(more["tags"]), more["shared"], began=at)
        elif event == "enter":
            stories[request].entered = at
        elif event == "grant":
            stories[request].granted, stories[request].fence = at, more["fence"]
        elif event == "touch":
            stories[request].touches.append(at)
        elif event == "clash":
            clashes.append((request, more["other"]))
        else:
            assert event in ("leave", "lost")
            stories[request].ended = event
    wrong = []
    for story in stories.values():
        if not story.ended and story.pid not in killed:
            wrong.append(f"{story.id} of process {story.pid} never ended")
    for request, other_request in clashes:
        # Who was killed or stopped could not take its witness away.
        pid = stories[other_request].pid if other_request in stories else 0
        if pid not in killed and pid not in stopped:
            wrong.append(f"two holders: {request} met the witness of {other_request or 'somebody'}")
    for one, other in combinations(stories.values(), 2):
        if one.excludes(other):
            wrong += _check_pair(one, other, stopped, killed)
    return wrong


def _check_pair(one: Story, other: Story, stopped: set[int], killed: dict[int, float]) -> list[str]:
    """What is wrong with two requests that exclude each other."""
    wrong = []
    if one.granted is not None and other.granted is not None:
        first, second = sorted((one, other), key=lambda story: (story.granted, story.fence))
        assert first.granted is not None and second.granted is not None
        late = [at for at in first.touches if at > second.granted]
        if late:
            wrong.append(f"two holders: {first.id} still held {late[0] - second.granted:.6f} s after {second.id} began")
        if first.fence >= second.fence:
            wrong.append(f"fences do not rise: {first.id} has {first.fence}, later {second.id} has {second.fence}")
    # Who was stopped, or killed before it could say that it was granted, may have lost its place by right.
    if {one.pid, other.pid} & stopped or one.pid in killed or other.pid in killed:
        return wrong
    for early, late_one in ((one, other), (other, one)):
        both_granted = early.granted is not None and late_one.granted is not None
        if both_granted and early.entered is not None and early.entered < late_one.began:
            assert early.granted is not None and late_one.granted is not None
            if early.granted > late_one.granted:
                wrong.append(f"order: {early.id} was there before {late_one.id} came, and was granted later")
    return wrong
