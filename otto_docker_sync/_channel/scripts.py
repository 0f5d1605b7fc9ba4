"""The shell text that runs on remote machines: it stands in ``.sh`` files beside the modules that send it.

The rules for such a file, which `make lint` and the tests hold:

- POSIX shell, built-ins and /proc only where it may run in a container, one statement a line.
- It begins with its values, which the caller gives: ``: "${name?}" "${other?}"``. They are sent as quoted assignments
  in front of the text, so nothing is ever formatted into shell text.
- ``. ./other.sh`` includes that file of the same folder, ``. ../folder/other.sh`` one of another room; the values of
  both are then given together.
- A comment has a line of its own. Comments, indentation, empty lines and the line of the values are not sent: a shell
  reads its script byte by byte.
- So there is no here-document, and the only quoted text that spans lines is a single line end, whose closing quote
  stands at the beginning of the next line.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import NamedTuple

from .descriptors import explain_no_descriptors

VALUE = re.compile(r'"\$\{(\w+)\?\}"')
VALUES_LINE = ': "${'
INCLUDE = re.compile(r"\. \.(?:/|\./(\w+)/)(\w+)\.sh")


class ShellText(NamedTuple):
    """What is sent of a ``.sh`` file, and the names of the values that have to stand in front of it."""

    text: str
    values: frozenset[str]


@cache
def load(package: str, name: str) -> ShellText:
    """Read ``name.sh`` of a package, with what it includes, and leave out what only readers need."""
    from importlib.resources import files  # here, because not every program that imports us opens a shell

    lines: list[str] = []
    values: set[str] = set()
    with explain_no_descriptors(f"the script {name}.sh of {package} cannot be read"):
        full_text = files(package).joinpath(f"{name}.sh").read_text("utf-8")
    for full_line in full_text.splitlines():
        line = full_line.lstrip()
        if include := INCLUDE.fullmatch(line):
            room = f"{package.rpartition('.')[0]}.{include[1]}" if include[1] else package
            included = load(room, include[2])
            lines.append(included.text)
            values |= included.values
        elif line.startswith(VALUES_LINE):
            values.update(VALUE.findall(line))
        elif line and not line.startswith("#"):
            lines.append(line + "\n")
    return ShellText("".join(lines), frozenset(values))


def script(package: str, name: str, **values: str | int) -> str:
    """The text of ``name.sh`` with its values in front. Raises `TypeError` when these are not the ones it asks for."""
    text, expected = load(package, name)
    if values.keys() != expected:
        raise TypeError(f"{name}.sh takes {sorted(expected)}, not {sorted(values)}")
    return "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in values.items()) + text
