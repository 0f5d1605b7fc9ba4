"""Connections by SSH. Paramiko is imported in this package only.

Other rooms use the names below. They are imported when first used, so that `SSHOptions` costs no import of Paramiko.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connections import Connections
    from .options import HostKeyPolicy, SSHOptions

__all__ = ["Connections", "HostKeyPolicy", "SSHOptions"]

_MODULES = {"Connections": "connections", "HostKeyPolicy": "options", "SSHOptions": "options"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
