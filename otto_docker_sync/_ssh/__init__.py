"""Connections by SSH. Paramiko is imported in this package only.

Other rooms use the names below. They are imported when first used, so that `SSHOptions` costs no import of Paramiko.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .connections import Connections
    from .options import HostKeyPolicy, SSHOptions

__all__ = ["Connections", "HostKeyPolicy", "SSHOptions"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"connections": ["Connections"], "options": ["HostKeyPolicy", "SSHOptions"]})
