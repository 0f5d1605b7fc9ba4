"""``python -m otto_docker_sync._sandbox``: remove what killed runs have left on this machine."""

from __future__ import annotations

from .workspace import Workspace

Workspace.sweep()
