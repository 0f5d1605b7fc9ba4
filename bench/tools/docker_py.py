"""docker-py, with its own way over SSH."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from bench.target import Target

from .base import Tool, load


class DockerPy(Tool):
    """``DockerClient("ssh://…")``. It takes the key from the user's ssh_config, so it gets a home of its own."""

    name = "docker-py"
    package = "docker"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        docker = load("docker")
        home = Path(target.directory, f"home{target.port}")
        (home / ".ssh").mkdir(parents=True, exist_ok=True)
        shutil.copy(target.known_hosts, home / ".ssh/known_hosts")
        (home / ".ssh/config").write_text(f"Host *\n  IdentityFile {target.identity_file}\n")
        with patch.dict(os.environ, HOME=str(home)):
            client = docker.DockerClient(base_url=f"ssh://{target.user}@{target.host}:{target.port}", timeout=300)
        stack.callback(client.close)
        self._container = client.containers.get(target.container)

    def oneshot(self, command: str) -> bytes:
        status, output = self._container.exec_run(["sh", "-c", command])
        if status:
            raise OSError(f"the command failed with {status}")
        data: bytes = output
        return data
