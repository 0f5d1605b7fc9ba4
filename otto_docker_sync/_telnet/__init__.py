"""Sessions by telnet.

Other rooms use the names below. They are imported when first used: a lab without telnet does not pay for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .channel import TelnetChannel
    from .options import TelnetOptions

__all__ = ["TelnetChannel", "TelnetOptions"]

_MODULES = {"TelnetChannel": "channel", "TelnetOptions": "options"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
