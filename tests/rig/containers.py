"""Containers as the tests look at them: past the library, with the docker client and /proc."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from otto_docker_sync._sandbox import Docker
from otto_docker_sync._sandbox.processes import pids, stat_fields


class Container:
    """A running container. ``kind`` is that of its image.

    >>> container.processes()
    {4242: 'sh'}
    """

    def __init__(self, docker: Docker, container_id: str, kind: str) -> None:
        self.docker = docker
        self.id = container_id
        self.kind = kind

    def __repr__(self) -> str:
        return f"<Container {self.kind} {self.id[:12]}>"

    @cached_property
    def name(self) -> str:
        return self.inspect("{{.Name}}").lstrip("/")

    def inspect(self, template: str) -> str:
        return self.docker("inspect", "--format", template, self.id)

    def exec(self, *argv: str, stdin: bytes | None = None) -> str:
        """The stdout of a program that docker itself runs in the container."""
        return self.docker("exec", "--interactive", self.id, *argv, stdin=stdin)

    @cached_property
    def pid(self) -> int:
        """The pid on this machine of its first process; `restarted` forgets it."""
        return int(self.inspect("{{.State.Pid}}"))

    @cached_property
    def namespace(self) -> str:
        """What all of its processes, and no others, have in common; `restarted` forgets it."""
        return os.readlink(f"/proc/{self.pid}/ns/pid")

    def restarted(self) -> None:
        """Forget what a restart changes."""
        for name in ("pid", "namespace"):
            self.__dict__.pop(name, None)

    def processes(self) -> dict[int, str]:
        """The living processes in it but for the first, pid of this machine to arguments; no zombies."""
        return {pid: arguments(pid) for pid in processes_in({self.namespace}) - {self.pid}}

    def remove(self) -> None:
        self.docker.run("rm", "--force", "--volumes", self.id)


def processes_in(namespaces: set[str]) -> set[int]:
    """The living processes in these pid namespaces: no zombies, whom a first process that sleeps never collects."""
    found = set()
    for pid in pids():
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") in namespaces and stat_fields(pid)[0] not in ("", "Z", "X"):
                found.add(pid)
        except OSError:
            continue  # gone
    return found


def arguments(pid: int) -> str:
    """The arguments of a process, for a person; "?" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() or "?"
    except OSError:
        return "?"
