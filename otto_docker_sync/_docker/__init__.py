"""The docker client on a parent. Other rooms use the names below."""

from __future__ import annotations

from .backend import ContainerBackend
from .container_log import read_log_text
from .errors import docker_error
from .evidence import Evidence
from .mounts import Mount

__all__ = ["ContainerBackend", "Evidence", "Mount", "docker_error", "read_log_text"]
