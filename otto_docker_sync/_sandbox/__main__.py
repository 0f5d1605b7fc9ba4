"""``python -m otto_docker_sync._sandbox``: remove what killed runs left behind on this machine."""

from __future__ import annotations

from .lifecycle import sweep_workspaces

sweep_workspaces()
