"""Names of a package that are imported when first used: importing the package stays cheap.

Type checkers see the imports that stand under ``TYPE_CHECKING``, and not this, so that they know a misspelt name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, Iterable[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of `package`. `modules` says which names each module of the package has.

    >>> __getattr__ = lazy_names(__name__, {"options": ["SSHOptions"]})
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def import_name(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{module_of[name]}", package), name)
        setattr(sys.modules[package], name, value)  # so that this function is asked once for each name
        return value

    return import_name
