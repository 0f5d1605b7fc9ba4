"""The rig: the real parts on this machine that one test run owns, shared by its worker processes."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from otto_docker_sync._sandbox import Docker, Workspace, docker_for
from otto_docker_sync._sandbox.dockerd import private_docker
from otto_docker_sync._sandbox.images import import_image
from tests.rig.sshd import Sshd

from .account import Account
from .containers import Container
from .images import ROOTS

Value = TypeVar("Value")

WORKSPACE = "OTTO_TEST_WORKSPACE"
PRIVATE = "OTTO_TEST_PRIVATE_DOCKERD"


class Rig:
    """The rig as one worker process sees it.

    The process that pytest was started as makes the workspace and destroys it. What the workers share is made by the
    first one that asks; the others wait.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.workspace = Workspace(Path(os.environ[WORKSPACE]))
        self._count = itertools.count(1)

    def unique(self, name: str) -> str:
        """A name that this worker has not used yet."""
        return f"{name}-{next(self._count)}"

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """The value of `make`, which only the first worker to ask calls. It passes through JSON."""
        known = self.workspace.path / f"{name}.json"
        with open(self.workspace.path / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not known.exists():
                value = make()
                known.write_text(json.dumps(value))
            result: Value = json.loads(known.read_text())
            return result

    @cached_property
    def docker(self) -> Docker:
        """The docker daemon of this machine, or our own where none runs; docker clients started here use it too."""
        find = private_docker if os.environ.get(PRIVATE) else docker_for
        docker = Docker(self.once("docker", lambda: find(self.workspace).environ))
        os.environ.update(docker.environ)
        return docker

    def image(self, kind: str) -> str:
        """The tag of one of the images: busybox, dash, bash, noshell."""
        return self.once(f"image-{kind}", lambda: import_image(self.docker, self.workspace, kind, ROOTS[kind]()))

    @cached_property
    def account(self) -> Account:
        """An ordinary user of this machine, in docker's group, that only this worker logs in as."""
        return Account.create(self.workspace, self.worker, self.docker)

    def container(self, kind: str, *run_args: str, command: tuple[str, ...] = ()) -> Container:
        """Start a container. It sleeps unless `command` is given, and has no network unless `run_args` ask for one."""
        network = () if any(arg.startswith("--net") for arg in run_args) else ("--network", "none")
        options = ("--stop-signal", "KILL", "--label", self.workspace.label, *network, *run_args)
        container_id = self.docker("run", "--detach", *options, self.image(kind), *command)
        return Container(self.docker, container_id, kind)

    def sshd(self, name: str, options: dict[str, str | None], user: str | None = None) -> Sshd:
        """Start an sshd for this worker's account, or for another user."""
        return Sshd(
            self.workspace,
            user=user or self.account.name,
            environ=self.environ,
            options=options,
            name=f"{self.worker}-{name}",
        )

    @cached_property
    def environ(self) -> dict[str, str]:
        """The environment that a login's docker client needs."""
        return {**self.docker.environ, "DOCKER_CONFIG": str(self.docker_config)}

    @property
    def docker_config(self) -> Path:
        """The directory of the docker client's configuration and plugins."""
        return self.workspace.directory("docker-config")
