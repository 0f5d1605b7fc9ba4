"""Nothing outlives a test: the check that runs after each."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from otto_docker_sync._sandbox.processes import owner, pids, stat_fields

from .containers import Container, arguments, processes_in

PATIENCE = 15.0
"""Seconds in which what is on its way out may go: on a busy machine, a look at all processes takes some of them."""
SHARED_TMP = Path("/tmp")


@dataclass
class Watched:
    """What a test run's process answers for: the containers and the user that are its own."""

    containers: list[Container] = field(default_factory=list)
    uid: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment, each thing by a name that a person can read."""

    things: frozenset[tuple[str, str]]

    @classmethod
    def take(cls, watched: Watched) -> Snapshot:
        return cls(
            frozenset(
                [
                    *(("thread", f"{thread.name} ({thread.ident})") for thread in threading.enumerate()),
                    *(("file descriptor", text) for text in _descriptors()),
                    *(("process in a container", text) for text in _container_processes(watched.containers)),
                    *(("process of the parent's user", text) for text in _user_processes(watched.uid)),
                    *(("temporary file", text) for text in _temporary_files(watched.uid)),
                ]
            )
        )


def leftovers(before: Snapshot, watched: Watched, patience: float = PATIENCE) -> list[str]:
    """What is there now, was not there before, and does not go within `patience`."""
    end = time.monotonic() + patience
    while left := Snapshot.take(watched).things - before.things:
        if time.monotonic() > end:
            return sorted(f"{kind}: {text}" for kind, text in left)
        time.sleep(0.02)
    return []


def _descriptors() -> Iterable[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the one that listed them
        yield f"{name} -> {target}"


def _container_processes(containers: list[Container]) -> Iterable[str]:
    if containers:
        everyone = processes_in({container.namespace for container in containers})
        for pid in everyone - {container.pid for container in containers}:
            # Where process 1 collects nobody's children, whatever is killed without its parent stays a zombie.
            if stat_fields(pid)[0] not in ("", "Z", "X"):
                yield f"{pid} {arguments(pid)}"


def _user_processes(uid: int | None) -> Iterable[str]:
    if uid is not None:
        for pid in pids():
            if owner(pid) == uid and stat_fields(pid)[0] not in ("", "Z", "X"):
                yield f"{pid} {arguments(pid)}"


def _temporary_files(uid: int | None) -> Iterable[str]:
    # Ours alone, and that of all: there only the user's files are certainly of this worker's doing.
    yield from (str(path) for path in Path(tempfile.gettempdir()).iterdir())
    if uid is not None:
        for entry in os.scandir(SHARED_TMP):
            try:
                if entry.stat(follow_symlinks=False).st_uid == uid:
                    yield entry.path
            except FileNotFoundError:
                continue
