"""Patterns of pathlib, for a directory of a host: the shell there finds what may match, and the rest is done here.

A shell's own patterns differ: ``*`` leaves out names that begin with a dot, ``[^a]`` may mean something else, and ``?``
may be one byte. So it is asked for a little more than what matches.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from ..errors import ConfigError

WILDCARDS = re.compile(r"[*?]|\[[^]]*\]?")
ANY = ("*", ".[!.]*", "..?*")
"""All names in a directory."""


class Pattern:
    """A pattern as `pathlib.Path.glob` takes it. Raises `ConfigError` for one that is empty or absolute.

    >>> Pattern("log/**/*.txt").call
    "show_trees './log'"
    """

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str) or not pattern or pattern.startswith("/") or "\0" in pattern:
            raise ConfigError(f"glob({pattern!r}): pass a pattern relative to the directory, such as '*.log'")
        self._parts = PurePosixPath(pattern).parts
        if not self._parts:
            raise ConfigError(f"glob({pattern!r}): pass a pattern of names, such as '*.log'")
        self._tests = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in self._parts]

    @property
    def call(self) -> str:
        """What is to be called of ``path_list.sh`` to see all that may match, and perhaps more."""
        is_tree = "**" in self._parts
        parts = self._parts[: self._parts.index("**")] if is_tree else self._parts
        words = (f"./{'/'.join(choice)}" for choice in itertools.product(*map(_shell_patterns, parts)))
        return " ".join(["show_trees" if is_tree else "show", *words])

    def select(self, names: Iterable[str]) -> Iterator[PurePosixPath]:
        """Those of some paths that match."""
        return (path for path in map(PurePosixPath, names) if _matches(path.parts, self._tests))


def _shell_patterns(part: str) -> tuple[str, ...]:
    """Patterns for a shell that together match all that one part of a pattern does."""
    literals = WILDCARDS.split(part)
    if len(literals) == 1:
        return (shlex.quote(part),)
    first, last = literals[0], literals[-1]
    # A pattern of dots would also match the directory itself, and the one above it.
    if first.strip("."):
        return (f"{shlex.quote(first)}*",)
    if last.strip("."):
        quoted = shlex.quote(last)
        return (f"*{quoted}", f".*{quoted}", quoted)
    return ANY


def _matches(names: Sequence[str], tests: Sequence[re.Pattern[str] | None]) -> bool:
    if not tests:
        return not names
    test, rest = tests[0], tests[1:]
    if test is None:  # any number of directories
        return any(_matches(names[count:], rest) for count in range(len(names) + 1))
    return bool(names) and test.match(names[0]) is not None and _matches(names[1:], rest)
