"""How the cost grows with the size: output, expect, length of a command, number of files, sessions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from . import jobs
from .crowd import ManyConnections, crowd
from .jobs import Job
from .measure import Sample, measure
from .target import SMALL_FILES, Target, make_small_files
from .tools import LocalDocker, Ours, RawParamiko, Tool


@dataclass(frozen=True)
class Points:
    """What was measured of one tool: seconds by size."""

    tool: str
    seconds: dict[int, float]

    @property
    def doublings(self) -> list[float]:
        """How many times as long each size takes as the one before it."""
        values = [self.seconds[size] for size in sorted(self.seconds)]
        return [later / earlier for earlier, later in itertools.pairwise(values)]


@dataclass(frozen=True)
class Curve:
    """Work of growing size: each size is twice the one before. ``tools[0]`` is this library."""

    key: str
    title: str
    unit: str
    make_job: Callable[[int], Job]
    sizes: tuple[int, ...]
    tools: tuple[type[Tool], ...]
    rounds: int = 3

    def measure(self, target: Target, *, quick: bool) -> list[Points]:
        points = {tool.name: Points(tool.name, {}) for tool in self.tools}
        for size in self.sizes[:3] if quick else self.sizes:
            job = self.make_job(size)
            openers = {tool.name: partial(job, tool, target) for tool in self.tools}
            for side in measure(openers, 1 if quick else self.rounds):
                if side.median is not None:
                    points[side.name].seconds[size] = side.median
        return list(points.values())


def make_curves() -> list[Curve]:
    """All curves."""
    docker = (Ours, LocalDocker)
    megabytes = (1, 2, 4, 8, 16, 32, 64)
    return [
        Curve("curve-output", "output through run", "MB", _output, megabytes, docker),
        Curve("curve-expect", "expect a marker after output", "MB", _expect, megabytes, docker),
        Curve(
            "curve-command", "run a long command", "KB", _command, (1, 2, 4, 8, 16, 32, 64, 128), (Ours, RawParamiko), 7
        ),
        Curve("curve-files", "put a list of files of 1 KB", "files", _files, (50, 100, 200, 400, 800, 1600), docker),
        Curve(
            "curve-sessions",
            "sessions at once",
            "sessions",
            crowd,
            (5, 10, 20, 40, 80, 160),
            (Ours, ManyConnections),
            1,
        ),
    ]


def _output(megabytes: int) -> Job:
    return jobs.timed(jobs.work_output(megabytes, on_session=True))


def _expect(megabytes: int) -> Job:
    return jobs.timed(jobs.work_expect(megabytes))


def _command(kilobytes: int) -> Job:
    return jobs.timed(jobs.work_command(kilobytes * 1024))


def _files(count: int) -> Job:
    def get_ready(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:
        directory = target.path / f"small{count}"
        if count != SMALL_FILES and not directory.exists():
            make_small_files(directory, count)
        return jobs.put_files(count, as_directory=False)(tool, target, stack)

    return get_ready
