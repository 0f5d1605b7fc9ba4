"""Sessions by telnet.

Other rooms use the names below. They are imported when first used: a lab without telnet does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .channel import TelnetChannel
    from .options import TelnetOptions

__all__ = ["TelnetChannel", "TelnetOptions"]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"channel": ["TelnetChannel"], "options": ["TelnetOptions"]})
