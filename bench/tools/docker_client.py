"""The reference for what happens in a container: docker's own client, on the parent itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from .base import Session, Tool
from .terminal import Terminal


class LocalDocker(Tool):
    """``docker exec`` and ``docker cp``, without SSH in between."""

    name = "local docker"

    def open_session(self, number: int = 0) -> Session:
        return Terminal(self.docker_exec("-it", container=self.container_of(number)), self.target.environ)

    def oneshot(self, command: str) -> bytes:
        done = self.target.docker.run("exec", "-i", self.target.container, "sh", "-c", command, timeout=300)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def put(self, sources: Sequence[Path], directory: str) -> None:
        for source in sources:
            self.target.docker("cp", str(source), f"{self.target.container}:{directory}", timeout=300)

    def get(self, sources: Sequence[str], directory: Path) -> None:
        for source in sources:
            self.target.docker("cp", f"{self.target.container}:{source}", str(directory), timeout=300)
