"""What a tool has to be able to do to be measured."""

from __future__ import annotations

import importlib
import posixpath
import secrets
import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from bench.measure import NotAvailable
from bench.target import Target


class Session(ABC):
    """A persistent shell in the container."""

    @abstractmethod
    def run(self, command: str) -> str | bytes:
        """Run a command and return its output."""

    def wait_for(self, command: str, marker: str) -> None:
        """Type a command, and wait until its output shows the marker."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """End it."""


class Tool:
    """A tool that is ready: its connection to the parent is open, or opens when it is first used, in the turn that does
    not count. What it cannot do, it leaves as it is here.

    What has to be undone goes into `stack`.
    """

    name: ClassVar[str]
    package: ClassVar[str] = ""
    """The distribution whose version is reported; '' if there is none."""

    def __init__(self, target: Target, stack: ExitStack) -> None:
        self.target = target
        self.stack = stack

    def open_session(self, number: int = 0) -> Session:
        """Open a persistent shell in the container; if `number` is given, in that one of the crowd."""
        raise NotImplementedError

    def oneshot(self, command: str) -> str | bytes:
        """Run a command in a new process in the container, and return its output."""
        raise NotImplementedError

    def put(self, sources: Sequence[Path], directory: str) -> None:
        """Copy files or directories into a directory of the container."""
        raise NotImplementedError

    def get(self, sources: Sequence[str], directory: Path) -> None:
        """Copy files or directories of the container into a directory."""
        raise NotImplementedError

    def docker_exec(self, *options: str, container: str = "") -> list[str]:
        """The arguments with which the parent starts a shell in the container."""
        return ["docker", "exec", *options, container or self.target.container, "sh"]

    def container_of(self, number: int) -> str:
        """The container in which session `number` runs."""
        crowd = self.target.crowd
        return crowd[number % len(crowd)] if number else self.target.container

    # For tools that know nothing of containers: files take two steps, as `docker cp` runs on the parent.

    def new_stage(self) -> str:
        """An empty directory on the parent."""
        path = f"{self.target.stage}/{secrets.token_hex(4)}"
        self.on_parent(f"mkdir {path}")
        return path

    def on_parent(self, command: str) -> None:
        """Run a command on the parent. Raises when it fails."""
        raise NotImplementedError

    def stage_to_container(self, stage: str, directory: str) -> None:
        self.on_parent(f"docker cp {stage}/. {self.target.container}:{directory} && rm -rf {stage}")

    def container_to_stage(self, sources: Sequence[str], stage: str) -> None:
        # `docker cp` takes one source at a time, so whoever wants many quickly has tar take them.
        parent = posixpath.dirname(sources[0])
        names = shlex.join(posixpath.basename(path) for path in sources)
        tar = f"docker exec {self.target.container} tar -C {parent} -cf - {names}"
        self.on_parent(f"{tar} | tar -C {stage} -xf -")


def load(name: str) -> Any:
    """Import a peer. Raises `NotAvailable` if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotAvailable(f"not installed: {error}") from error


class Marker:
    """Shows the end of a command, by a text that the echo of what was typed does not hold."""

    def __init__(self) -> None:
        first, second = secrets.token_hex(4), secrets.token_hex(4)
        self.shown = f"<{first}{second}>"
        self.command = f"printf '<%s%s>' {first} {second}"


def check_output(output: str | bytes, expected: str) -> None:
    """Raise unless `output` holds `expected`: a tool that is fast and wrong has no figure."""
    text = output if isinstance(output, str) else output.decode(errors="replace")
    if expected not in text:
        raise ValueError(f"wrong output: {text[-60:]!r}")
