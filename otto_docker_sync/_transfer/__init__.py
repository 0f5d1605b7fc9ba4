"""Files in and out of a host.

Other rooms use the names below. They are imported when first used, so that a program that moves no files does not load
them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .docker_cp import DockerCopy
    from .glob import Pattern
    from .left_out import LeftOut, describe_type
    from .paths import PathOperations
    from .sftp import SFTPTransport
    from .transfer import get, put

__all__ = ["DockerCopy", "LeftOut", "PathOperations", "Pattern", "SFTPTransport", "describe_type", "get", "put"]

_MODULES = {
    "DockerCopy": "docker_cp",
    "LeftOut": "left_out",
    "PathOperations": "paths",
    "Pattern": "glob",
    "SFTPTransport": "sftp",
    "describe_type": "left_out",
    "get": "transfer",
    "put": "transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
