"""One test run's parts of this machine, shared by all of its worker processes."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from otto_docker_sync._sandbox import Docker, Sshd, Workspace, docker_for, import_image

from .account import Account
from .containers import Container

Value = TypeVar("Value")

WORKSPACE = "OTTO_TEST_WORKSPACE"
PRIVATE = "OTTO_TEST_PRIVATE_DOCKERD"


class Rig:
    """One worker's view of the test run's parts.

    The workspace is made and destroyed by the process that was started first; what is shared is made by the worker
    that asks first, while the others wait.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.workspace = Workspace(Path(os.environ[WORKSPACE]))
        self._count = itertools.count(1)

    def unique(self, name: str) -> str:
        """A name that this worker has not used."""
        return f"{name}-{next(self._count)}"

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """What `make` returned (JSON) in the worker that came first."""
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
        """The docker daemon: that of this machine where one runs, else one of our own. Clients started here use it."""
        private = bool(os.environ.get(PRIVATE))
        docker = Docker(self.once("docker", lambda: docker_for(self.workspace, private=private).environ))
        os.environ.update(docker.environ)
        return docker

    def image(self, kind: str) -> str:
        """The tag of one of the images: busybox, dash, bash, noshell."""
        return self.once(f"image-{kind}", lambda: import_image(self.docker, self.workspace, kind))

    @cached_property
    def account(self) -> Account:
        """An ordinary user of this machine, in docker's group, that only this worker logs in as."""
        return Account.create(self.workspace, self.worker, self.docker)

    def container(self, kind: str, *run_args: str, command: tuple[str, ...] = ()) -> Container:
        """Start a container; without a network unless asked for one, and without a command it sleeps."""
        network = () if any(arg.startswith("--net") for arg in run_args) else ("--network", "none")
        options = ("--stop-signal", "KILL", "--label", self.workspace.label, *network, *run_args)
        container_id = self.docker("run", "--detach", *options, self.image(kind), *command)
        return Container(self.docker, container_id, kind)

    def sshd(self, name: str, options: dict[str, str | None], user: str | None = None) -> Sshd:
        """Start an sshd of this worker's, for its account or another user."""
        return Sshd(
            self.workspace,
            user=user or self.account.name,
            environ=self.environ,
            options=options,
            name=f"{self.worker}-{name}",
        )

    @cached_property
    def environ(self) -> dict[str, str]:
        """What a login's docker client needs."""
        return {**self.docker.environ, "DOCKER_CONFIG": str(self.docker_config)}

    @property
    def docker_config(self) -> Path:
        """The docker client's configuration, and its plugins."""
        return self.workspace.directory("docker-config")
