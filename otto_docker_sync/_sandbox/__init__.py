"""Throwaway real parts on this machine: a docker daemon, an sshd, an image made of its own busybox.

``otto-docker demo`` runs on them, and the library's tests build their rig from them. Not part of the public interface.
Linux only. Everything that is started belongs to a `Workspace` and is removed with it.
"""

from __future__ import annotations

from .dockerd import Docker, docker_for
from .images import import_busybox
from .lifecycle import create_workspace, destroy_workspace, temporary_workspace
from .processes import SandboxError
from .sshd import Sshd
from .workspace import Workspace

__all__ = [
    "Docker",
    "SandboxError",
    "Sshd",
    "Workspace",
    "create_workspace",
    "destroy_workspace",
    "docker_for",
    "import_busybox",
    "temporary_workspace",
]
