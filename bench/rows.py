"""The rows of the table: which work, which tools, and which of them counts as 1."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from . import jobs
from .crowd import COMMANDS, ManyConnections, crowd
from .jobs import Job
from .measure import Meter, Opener, Sample, Side, measure
from .memory import memory
from .target import SMALL_FILES, Target
from .tools import (
    AsyncSSH,
    DockerPy,
    Fabric,
    LocalDocker,
    OpenSSH,
    OttoSh,
    Ours,
    OursWarm,
    Pexpect,
    PexpectTuned,
    Plumbum,
    RawParamiko,
    SSHLibrary,
    Tool,
)
from .tools.openssh import OpenSSHAlone

SECONDS, ROUND_TRIPS, MEGABYTES = "s", "round trips", "MB"
ONESHOTS = (OpenSSH, Plumbum, AsyncSSH, SSHLibrary, OttoSh, Fabric, DockerPy)
CROWD = 20
"""Containers that many sessions share."""


@dataclass(frozen=True)
class Row:
    """One kind of work. ``tools[0]`` is this library, ``tools[1]`` the reference; `reach` is what we want to be at
    most, as a ratio to the reference or, where what is measured is no time, as it is."""

    key: str
    title: str
    job: Job
    tools: tuple[type[Tool], ...]
    reach: float | None
    rounds: int
    quick_rounds: int = 7
    unit: str = SECONDS

    def measure(self, target: Target, *, quick: bool) -> list[Side]:
        openers: dict[str, Opener] = {tool.name: partial(self.job, tool, target) for tool in self.tools}
        return measure(openers, self.quick_rounds if quick else self.rounds)


class OneImport(Tool):
    """What it takes to import a module, in a process of its own."""

    module = ""


class ImportOurs(OneImport):
    name = Ours.name
    module = "otto_docker_sync"


class ImportParamiko(OneImport):
    name = "import paramiko"
    module = "paramiko"


def import_time(tool: type[Tool], target: Target, stack: ExitStack) -> Sample:  # noqa: ARG001
    assert issubclass(tool, OneImport)
    program = f"import time; a = time.perf_counter(); import {tool.module}; print(time.perf_counter() - a)"

    def sample(meter: Meter) -> None:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
        meter.value = float(done.stdout)

    return sample


def make_rows(*, quick: bool) -> list[Row]:
    """All rows. What a quick run has smaller is in the titles."""
    return [*_commands(), *_output(quick=quick), *_files(quick=quick), *_many(quick=quick), *_links(), *_imports()]


def _commands() -> list[Row]:
    shells = (Plumbum, AsyncSSH, SSHLibrary, OttoSh, PexpectTuned)
    new_shells = (RawParamiko, AsyncSSH, OttoSh)
    return [
        Row(
            "run",
            'run("true") on an open session',
            jobs.timed(jobs.work_true, 50),
            (Ours, RawParamiko, *shells),
            1.15,
            30,
            10,
        ),
        Row(
            "open",
            "first result of a new session, connection open",
            jobs.first_result(connects=False),
            (Ours, LocalDocker, OpenSSH, *new_shells),
            0.70,
            25,
        ),
        Row(
            "connect",
            "connect, open a session, first result",
            jobs.first_result(connects=True),
            (Ours, OpenSSHAlone, *new_shells, SSHLibrary),
            0.60,
            21,
        ),
        Row("oneshot", "oneshot", jobs.timed(jobs.work_oneshot), (Ours, LocalDocker, RawParamiko, *ONESHOTS), 1.00, 31),
        Row(
            "oneshot-warm",
            "oneshot with warm=2, 50 in a row",
            jobs.timed(jobs.work_oneshot, 50),
            (OursWarm, LocalDocker),
            0.10,
            5,
            1,
        ),
    ]


def _output(*, quick: bool) -> list[Row]:
    sessions = (Ours, LocalDocker, OpenSSH, AsyncSSH, PexpectTuned, Pexpect, OttoSh)
    size = 10 if quick else 100
    rows = [
        Row(
            "output-10",
            "10 MB of output through run",
            jobs.timed(jobs.work_output(10, on_session=True)),
            sessions,
            1.25,
            7,
            1,
        ),
        Row(
            "oneshot-output",
            f"{size} MB of output through oneshot",
            jobs.timed(jobs.work_output(size, on_session=False)),
            (Ours, LocalDocker, RawParamiko, *ONESHOTS),
            1.60,
            5,
            1,
        ),
        Row(
            "expect",
            "expect a marker after 10 MB",
            jobs.timed(jobs.work_expect(10)),
            (Ours, LocalDocker, PexpectTuned, Pexpect, OttoSh),
            1.30,
            7,
            1,
        ),
    ]
    if not quick:
        rows.insert(
            1,
            Row(
                "output-60",
                "60 MB of output through run",
                jobs.timed(jobs.work_output(60, on_session=True)),
                sessions,
                1.25,
                5,
            ),
        )
    return rows


def _files(*, quick: bool) -> list[Row]:
    tools = (Ours, LocalDocker, OpenSSH, SSHLibrary, Fabric, OttoSh)
    size = 20 if quick else 200
    what = "200 files of 1 KB"
    return [
        Row("put-list", f"put a list of {what}", jobs.put_files(as_directory=False), tools, 1.70, 9, 1),
        Row("put-tree", f"put a directory of {what}", jobs.put_files(as_directory=True), tools, 1.70, 9, 1),
        Row("get-list", f"get a list of {what}", jobs.get_files(as_directory=False), tools, 1.70, 9, 1),
        Row("get-tree", f"get a directory of {what}", jobs.get_files(as_directory=True), tools, 1.70, 9, 1),
        Row("put-large", f"put a file of {size} MB", jobs.put_large(size), tools, 2.50, 7, 1),
    ]


def _many(*, quick: bool) -> list[Row]:
    sessions = 20 if quick else 200
    title = f"{sessions} sessions in {CROWD} containers, {COMMANDS} commands in each, {sessions} threads"
    raw = (Ours, ManyConnections)
    return [
        Row("crowd", title, crowd(sessions), (*raw, RawParamiko, OttoSh), 1.30, 3, 1),
        Row("memory", "memory of this process for a session", memory(20, of_parent=False), raw, None, 5, 1, MEGABYTES),
        Row(
            "memory-parent",
            "memory of the parent's programs for a session",
            memory(20, of_parent=True),
            raw,
            None,
            5,
            1,
            MEGABYTES,
        ),
    ]


def _links() -> list[Row]:
    def row(
        key: str, title: str, work: jobs.MakeWork, tools: tuple[type[Tool], ...], reach: float, rounds: int = 15
    ) -> Row:
        return Row(f"trips-{key}", title, jobs.round_trips(work), tools, reach, rounds, 3, ROUND_TRIPS)

    scp = (Ours, OpenSSH)
    return [
        row("run", "run", jobs.work_run, (Ours, RawParamiko, OttoSh), 1),
        row("oneshot", "oneshot", jobs.work_oneshot, (Ours, RawParamiko, OpenSSH, OttoSh, DockerPy), 1.2),
        row("oneshot-warm", "oneshot with warm=2", jobs.work_oneshot, (OursWarm, RawParamiko), 1.2),
        # All sessions stay open, and the server takes ten on a connection: nine that count, and one before them.
        row("open", "first result of a new session", jobs.work_open, (Ours, RawParamiko, OpenSSH, OttoSh), 2, rounds=9),
        row("put", "put a small file", jobs.work_put(1), scp, 3),
        row("put-list", "put a list of 200 files of 1 KB", jobs.work_put(SMALL_FILES), scp, 3),
    ]


def _imports() -> list[Row]:
    return [Row("import", "import otto_docker_sync", import_time, (ImportOurs, ImportParamiko), 0.25, 15, 5)]
