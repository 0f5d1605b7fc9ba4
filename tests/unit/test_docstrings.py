"""Every parameter of a public function, class or method stands in its docstring."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import otto_docker_sync

MADE_BY_THE_LIBRARY = {
    "ExpectMatch",
    "Forward",
    "HostSession",
    "Process",
    "RemotePath",
    "Reservation",
    "RunResult",
    "SocketForward",
    "Stack",
    "TransferResult",
}
"""Classes whose objects verbs return: nobody else calls their constructors. Neither those of errors."""


def public_callables() -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Name, callable and docstring; a class stands for its constructor."""
    for name in otto_docker_sync.__all__:
        found = getattr(otto_docker_sync, name)
        if inspect.isfunction(found):
            yield name, found, inspect.getdoc(found) or ""
        elif inspect.isclass(found) and not issubclass(found, (Enum, Exception)):
            if name not in MADE_BY_THE_LIBRARY:
                yield name, found, f"{inspect.getdoc(found)}\n{documented_fields(found)}"
            for method_name, method in inspect.getmembers(found, inspect.isroutine):
                if not method_name.startswith("_") and "otto_docker_sync" in str(getattr(method, "__module__", "")):
                    yield f"{name}.{method_name}", method, inspect.getdoc(method) or ""


def documented_fields(found: type) -> str:
    """The fields of a dataclass that have a docstring of their own, below them."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    assert isinstance(tree, ast.ClassDef)
    return " ".join(
        f"`{field.target.id}`"
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    )


def parameters(function: Callable[..., Any]) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # written in C
        return []
    return [name for name in names if name not in ("self", "cls", "args", "kwargs") and not name.startswith("_")]


def test_every_parameter_stands_in_its_docstring() -> None:
    missing = [
        f"{name}: {parameter}"
        for name, function, text in public_callables()
        for parameter in parameters(function)
        # `name`, ``name=``, or a line of its own below "Args:".
        if not re.search(rf"`{parameter}\b|^\s+\*{{0,2}}{parameter}(, \w+)*:", text, re.MULTILINE)
    ]
    assert missing == []
