"""What can be waited for in a stream: the patterns of ``expect`` and ``expects=``, checked and compiled.

A pattern is written as for pexpect, for a text whose line ends are ``\\n``. Each is compiled once, with what the
search in `matcher` has to know about it: how far back a match may begin, and whether it can begin anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import ConfigError
from ..limits import MATCH_WINDOW
from ..result import Patterns, shorten

SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")
"""What makes a regex more than a literal text."""
ANYTHING = re.compile(r"\(*\.[*+]")
"""A regex that begins with as much as there is: ``.*`` or ``.+``."""
RETURN = re.compile(r"(?<!\\)(?:\\\\)*\\r|\r")
"""A carriage return in a regex, which is found only where a terminal shows one without a line feed."""
BYTE_ESCAPE = re.compile(r"\\x[89a-fA-F]|\\[23][0-7][0-7]")
"""An escape in a regex of bytes, for a byte that is not a character by itself."""
LINE_END = re.compile(r"(\\r\\n|\r\n)(?![*?{])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""A line end of a terminal, as group 1; or an escape or a set of characters, in which there is none."""


class CompiledPattern(NamedTuple):
    """A regex of a list of patterns, and what the search knows about it."""

    position: int
    """Its place in the list."""
    regex: re.Pattern[str]
    lookback: int
    """How many characters before the fresh text a match may begin."""
    from_start: bool
    """Whether it can only match at the place where the search starts."""
    shown: str
    """The pattern as messages have it."""

    @property
    def has_return(self) -> bool:
        """Whether it has a ``\\r`` that is not part of a line end."""
        return bool(RETURN.search(self.regex.pattern.replace(r"\r?\n", "")))


@dataclass(frozen=True, eq=False)
class CompiledPatterns:
    """A list of patterns, checked and compiled."""

    regexes: tuple[CompiledPattern, ...]
    eof: int | None = None
    timeout: int | None = None

    def __str__(self) -> str:
        names = [(pattern.position, repr(pattern.shown)) for pattern in self.regexes]
        names += [(i, name) for i, name in ((self.eof, "EOF"), (self.timeout, "TIMEOUT")) if i is not None]
        return shorten(" or ".join(name for _, name in sorted(names)))

    @property
    def hint(self) -> str:
        """What may be wrong with patterns that were not found; empty when nothing is known."""
        for pattern in self.regexes:
            if pattern.has_return:
                return f" (line ends are \\n in what is searched, so the \\r in {pattern.shown!r} may find nothing)"
        return ""

    @property
    def have_return(self) -> bool:
        """Whether one of them has a ``\\r`` of its own, which may be the last thing that arrives for a while."""
        return any(pattern.has_return for pattern in self.regexes)


def compile_patterns(pattern: Patterns) -> CompiledPatterns:
    """Check and compile the argument of ``expect``.

    A string is compiled with ``re.DOTALL``, as in pexpect; bytes are decoded as UTF-8. The text that is searched has
    ``\\n`` as its line end, so a ``\\r\\n`` in a pattern (outside of brackets) matches either. Raises `ConfigError` for
    a pattern that is not valid, and for one that matches the empty text.

    >>> str(compile_patterns(["login:", b"refused"]))
    "'login:' or 'refused'"
    """
    return _compile_all(pattern, _compile)


def compile_exact(pattern: Patterns) -> CompiledPatterns:
    """Check and compile the argument of ``expect_exact``: texts, in which no character has a special meaning.

    >>> str(compile_exact("Sure? [y/n]"))
    "'Sure? [y/n]'"
    """
    return _compile_all(pattern, _compile_text)


def _compile_all(pattern: Patterns, compile_one: Callable[[Any], tuple[re.Pattern[str], str]]) -> CompiledPatterns:
    listed = [pattern] if isinstance(pattern, (str, bytes, re.Pattern, type)) else pattern
    if not isinstance(listed, Sequence) or not listed:
        raise ConfigError(f"expect: {pattern!r}: pass a pattern, or a list of at least one")
    regexes: list[CompiledPattern] = []
    exceptions: dict[str, int] = {}
    for index, item in enumerate(listed):
        if isinstance(item, type):
            exceptions.setdefault(_exception_name(item), index)
            continue
        regex, shown = compile_one(item)
        if regex.search(""):
            raise ConfigError(
                f"expect: {shorten(shown)!r} matches the empty text, so it would be found before anything arrives"
            )
        literal = not SPECIAL.search(regex.pattern)
        lookback = min(MATCH_WINDOW, len(regex.pattern)) if literal else MATCH_WINDOW
        # If ".*x" does not match at the start, it matches nowhere; trying each place would take quadratic time.
        from_start = bool(regex.flags & re.DOTALL and ANYTHING.match(regex.pattern) and "|" not in regex.pattern)
        regexes.append(CompiledPattern(index, regex, lookback, from_start, shown))
    return CompiledPatterns(tuple(regexes), exceptions.get("EOF"), exceptions.get("TIMEOUT"))


def _exception_name(item: type) -> str:
    from pexpect import EOF, TIMEOUT  # here: whoever passes one of them has imported pexpect already

    if item not in (EOF, TIMEOUT):
        raise ConfigError(f"expect: {item!r}: of the classes, only pexpect.EOF and pexpect.TIMEOUT can be expected")
    return item.__name__


def _compile(item: Any) -> tuple[re.Pattern[str], str]:
    """Compile one regex, and return it with the text that messages show."""
    if isinstance(item, (str, bytes)):
        text, flags = _decode(item, is_regex=True), re.DOTALL
    elif isinstance(item, re.Pattern):
        text, flags = _decode(item.pattern, is_regex=True), re.RegexFlag(item.flags)
        if isinstance(item.pattern, bytes):  # \\w of a bytes pattern matches ASCII letters only
            flags = flags & ~re.LOCALE | re.ASCII
    else:
        raise ConfigError(f"expect: {shorten(repr(item))}: pass a str or bytes, or a regex compiled from one")
    try:
        return re.compile(LINE_END.sub(lambda token: r"\r?\n" if token[1] else token[0], text), flags), text
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"expect: {shorten(text)!r} is not a valid regular expression: {error}") from None


def _compile_text(item: Any) -> tuple[re.Pattern[str], str]:
    if not isinstance(item, (str, bytes)):
        raise ConfigError(f"expect_exact: {shorten(repr(item))}: pass a str or bytes; expect() takes a regex")
    text = _decode(item, is_regex=False)
    return re.compile(r"\r?\n".join(re.escape(line) for line in text.split("\r\n"))), text


def _decode(pattern: str | bytes, *, is_regex: bool) -> str:
    if isinstance(pattern, str):
        return pattern
    try:
        text = pattern.decode()
    except UnicodeDecodeError:
        text = ""
    if (pattern and not text) or (is_regex and BYTE_ESCAPE.search(text)):
        raise ConfigError(
            f"expect: {shorten(repr(pattern))}: what is searched was decoded as UTF-8, so bytes that are not valid "
            "UTF-8 cannot be found; pass a str"
        )
    return text
