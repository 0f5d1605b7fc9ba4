"""Throwaway real parts on this machine: a docker daemon, an sshd, images made of its own files.

For ``otto-docker demo`` and for the tests of the library; no part of its interface. Linux only. All that a run starts
belongs to its `Workspace`, and goes with it.
"""

from __future__ import annotations

from .dockerd import Docker, docker_for
from .images import KINDS, import_image
from .sshd import Sshd
from .workspace import SandboxError, Workspace

__all__ = ["KINDS", "Docker", "SandboxError", "Sshd", "Workspace", "docker_for", "import_image"]
