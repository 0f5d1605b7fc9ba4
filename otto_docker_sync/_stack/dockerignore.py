"""What a ``.dockerignore`` file keeps out of a build context."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable


class DockerIgnore:
    """The rules of a ``.dockerignore`` file.

    >>> DockerIgnore(["*.log", "!keep.log"]).excludes("a.log")
    True
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            pattern = os.path.normpath(line.removeprefix("!").strip()).strip("/")
            if pattern != ".":
                regex = re.compile(_regex(pattern) + "(?:/.*)?", re.DOTALL)
                self._rules.append((regex, not line.startswith("!")))

    def excludes(self, path: str) -> bool:
        """Whether `path`, relative to the context, stays here. The last rule for it, or its directory, decides."""
        return next((excluding for regex, excluding in reversed(self._rules) if regex.fullmatch(path)), False)

    @property
    def has_exceptions(self) -> bool:
        """Whether something inside an excluded directory may still have to be copied."""
        return not all(excluding for _, excluding in self._rules)


def _regex(pattern: str) -> str:
    parts = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|\\.|.", pattern, re.DOTALL)
    return "".join(
        parts.get(token) or (token if len(token) > 2 and token[0] == "[" else re.escape(token[-1])) for token in tokens
    )
