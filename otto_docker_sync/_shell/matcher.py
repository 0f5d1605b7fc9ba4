"""Find patterns in a stream that arrives in pieces. Pure: no I/O, no clock, no thread.

The plan. A matcher owns the text that nobody has consumed yet, in three parts:

    head    looked through, too far back to be part of a match: kept for `before` only
    tail    looked through; a match may still begin in it
    fresh   arrived since the last look

A search joins `fresh` to `tail` and scans it, beginning at most WINDOW characters before the fresh text (a literal
pattern: its own length before it). So a look costs WINDOW + fresh, however long the stream is; a text of up to WINDOW
characters is always looked through from its beginning; and a match is found whatever the chunk borders were, as long
as it is not longer than WINDOW when its last piece arrives. Patterns that have not looked at this text before begin
at its beginning, once.

The rules are those of pexpect: the match that begins first wins, ties go to the order of the list; ``.`` matches line
ends too. A pattern with a greedy or optional end takes what is there when it first matches: ``\\d+`` may see ``1`` of
``125``, so end such a pattern with what follows the number.

Memory: while a search waits, the text since its beginning is kept (up to WAITING_LIMIT, it is the result's `before`).
Of text that nobody waits for, the last `limit` characters are kept (up to twice that, so that dropping stays cheap);
`dropped` counts the others.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

from ..errors import ConfigError
from ..result import Answer, ExpectMatch, Expects, shorten

WINDOW = 64 * 1024
LIMIT = 1 << 20
WAITING_LIMIT = 1 << 26

PIECE = 4096
"""A responder looks at no more at once: after each of many matches, the rest of a piece is looked through again."""

Pattern = Union[str, "re.Pattern[str]", type[BaseException]]
"""What can be expected: a regex, a compiled one, ``pexpect.EOF`` or ``pexpect.TIMEOUT``."""

SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")
ANYTHING = re.compile(r"\(*\.[*+]")
LINE_END = re.compile(r"(\\r\\n|\r\n)(?![*?{])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


class TextStream:
    """Bytes to text, piece by piece: UTF-8, and U+FFFD for what is none.

    A character that a border cuts is still one. With ``newlines``, ``\\r\\n`` becomes ``\\n`` and nothing else changes;
    a ``\\r`` at the end of a piece is held back until it is known what follows.

    >>> stream = TextStream(newlines=True)
    >>> stream.feed(b"caf\\xc3"), stream.feed(b"\\xa9\\r"), stream.feed(b"\\n")
    ('caf', 'é', '\\n')
    """

    def __init__(self, *, newlines: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._newlines = newlines
        self._held = ""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return the text that `data` completes; with ``final``, what was held back comes too."""
        text = self._decoder.decode(data, final)
        if not self._newlines:
            return text
        text = self._held + text
        self._held = "\r" if text.endswith("\r") and not final else ""
        return text[: len(text) - len(self._held)].replace("\r\n", "\n")


class Wanted(NamedTuple):
    """A regex, its place in the list, how far back a match may begin, and whether it begins with all there is."""

    place: int
    regex: re.Pattern[str]
    lookback: int
    from_start: bool


@dataclass(frozen=True, eq=False)
class Patterns:
    """A checked list of patterns."""

    regexes: tuple[Wanted, ...]
    eof: int | None = None
    timeout: int | None = None

    def __str__(self) -> str:
        names = [(wanted.place, repr(wanted.regex.pattern)) for wanted in self.regexes]
        names += [(i, name) for i, name in ((self.eof, "EOF"), (self.timeout, "TIMEOUT")) if i is not None]
        return shorten(" or ".join(name for _, name in sorted(names)))


def compile_patterns(pattern: Pattern | Sequence[Pattern]) -> Patterns:
    """Check what ``expect`` was given. Raises `ConfigError` for what could never be found, or always would be.

    A text is a regex compiled with ``re.DOTALL``, as in pexpect. Since the text that is searched has its line ends as
    ``\\n``, a ``\\r\\n`` in it (outside of brackets) stands for either; a compiled regex is taken as it is.

    >>> str(compile_patterns(["login:", "refused"]))
    "'login:' or 'refused'"
    """
    listed = [pattern] if isinstance(pattern, (str, bytes, re.Pattern, type)) else pattern
    if not isinstance(listed, Sequence) or not listed:
        raise ConfigError(f"expect: {pattern!r}: give a pattern, or a list of at least one")
    regexes: list[Wanted] = []
    exceptions: dict[str, int] = {}
    for index, item in enumerate(listed):
        if isinstance(item, type):
            exceptions.setdefault(_exception_name(item), index)
        else:
            regex = _compile(item)
            literal = not SPECIAL.search(regex.pattern)
            lookback = min(WINDOW, len(regex.pattern)) if literal else WINDOW
            # Where ".*x" does not match at the start, it matches nowhere: to try everywhere would be quadratic.
            from_start = bool(regex.flags & re.DOTALL and ANYTHING.match(regex.pattern) and "|" not in regex.pattern)
            regexes.append(Wanted(index, regex, lookback, from_start))
    return Patterns(tuple(regexes), exceptions.get("EOF"), exceptions.get("TIMEOUT"))


def _exception_name(item: type) -> str:
    from pexpect import EOF, TIMEOUT  # not at the top: only who imported it already can give one of them

    if item not in (EOF, TIMEOUT):
        raise ConfigError(f"expect: {item!r}: of the classes, only pexpect.EOF and pexpect.TIMEOUT can be expected")
    return item.__name__


def _compile(item: Any) -> re.Pattern[str]:
    if isinstance(item, str):
        try:
            regex = re.compile(LINE_END.sub(lambda token: r"\r?\n" if token[1] else token[0], item), re.DOTALL)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"expect: {shorten(item)!r} is no regular expression: {error}") from None
    elif isinstance(item, re.Pattern) and isinstance(item.pattern, str):
        regex = item
    else:
        raise ConfigError(f"expect: {shorten(repr(item))}: give a str, or a regex compiled from one")
    if regex.search(""):
        raise ConfigError(
            f"expect: {shorten(regex.pattern)!r} matches the empty text, so it would be found before anything arrives"
        )
    return regex


class Matcher:
    """The text of one stream, and the search in it. One thread at a time.

    >>> matcher = Matcher()
    >>> login = compile_patterns(r"(\\w+) login:")
    >>> matcher.feed(b"Debian 12\\nlab log"), matcher.search(login)
    (None, None)
    >>> matcher.feed(b"in: "), matcher.search(login).groups()
    (None, ('lab',))
    >>> matcher.text
    ' '
    """

    def __init__(self, *, newlines: bool = False, limit: int = LIMIT, waiting_limit: int = WAITING_LIMIT) -> None:
        self.dropped = 0
        self._stream = TextStream(newlines=newlines)
        self._limit, self._waiting_limit = limit, waiting_limit
        self._restart("")

    def _restart(self, text: str) -> None:
        """Hold `text` and nothing else; nobody has looked at it."""
        self._head: list[str] = []
        self._tail = text
        self._fresh: list[str] = []
        self._size = len(text)
        self._looking: Patterns | None = None  # who has looked through the first `_scanned` characters of `_tail`
        self._scanned = 0

    @property
    def text(self) -> str:
        """What has arrived and was not consumed."""
        return "".join([*self._head, self._tail, *self._fresh])

    def take(self) -> str:
        """Consume everything, and return it."""
        text = self.text
        self._restart("")
        return text

    def feed(self, data: bytes) -> None:
        """Add what has arrived."""
        self.add(self._stream.feed(data))

    def add(self, text: str) -> None:
        """Add what has arrived, decoded already."""
        if not text:
            return
        self._fresh.append(text)
        self._size += len(text)
        limit = self._waiting_limit if self._looking else self._limit
        if self._size > 2 * limit:
            self._drop(limit)

    def _drop(self, limit: int) -> None:
        kept, looking, fresh = self.text[-limit:], self._looking, sum(map(len, self._fresh))
        self.dropped += self._size - len(kept)
        self._restart(kept)
        self._looking, self._scanned = looking, max(0, len(kept) - fresh)

    def search(self, patterns: Patterns) -> ExpectMatch | None:
        """Look for the first match; consume all up to its end. None: feed more, or ask `at_end` or `at_timeout`."""
        if patterns is not self._looking:
            self._restart(self.text)
            self._looking = patterns
        else:
            self._tail = "".join([self._tail, *self._fresh])
            self._fresh.clear()
        first: tuple[int, re.Match[str]] | None = None
        for wanted in patterns.regexes:
            match = self._scan(wanted, self._tail, max(0, self._scanned - wanted.lookback))
            if match and (first is None or match.start() < first[1].start()):
                first = wanted.place, match
        if first is None:
            self._scanned = len(self._tail)
            if self._scanned > 4 * WINDOW:  # twice the window stays: what is in front of a match may matter to it
                self._head.append(self._tail[: -2 * WINDOW])
                self._tail = self._tail[-2 * WINDOW :]
                self._scanned = len(self._tail)
            return None
        index, match = first
        before = "".join([*self._head, self._tail[: match.start()]])
        self._restart(self._tail[match.end() :])
        return ExpectMatch(before + match[0], index, before, match)

    def _scan(self, wanted: Wanted, text: str, start: int) -> re.Match[str] | None:
        return (wanted.regex.match if wanted.from_start else wanted.regex.search)(text, start)

    def at_end(self, patterns: Patterns) -> ExpectMatch | None:
        """The stream has ended: a last look, then ``pexpect.EOF``, which consumes all; None when it is not expected."""
        self.add(self._stream.feed(b"", final=True))
        match = self.search(patterns)
        if match or patterns.eof is None:
            return match
        text = self.take()
        return ExpectMatch(text, patterns.eof, text, None)

    def at_timeout(self, patterns: Patterns) -> ExpectMatch | None:
        """Time is up: ``pexpect.TIMEOUT``, or None when it is not expected. The text stays for the next search."""
        self._restart(self.text)
        return None if patterns.timeout is None else ExpectMatch(self.text, patterns.timeout, self.text, None)


class Responder:
    """The ``expects=`` of a run: an answer each time a pattern appears in the command's output.

    >>> list(Responder({"password: ": "secret\\n"}).feed("sudo password: "))
    ['secret\\n']
    """

    def __init__(self, expects: Expects) -> None:
        pairs = _pairs(expects)
        self._answers = [answer for _, answer in pairs]
        self._patterns = compile_patterns([pattern for pattern, _ in pairs]) if pairs else Patterns(())
        if self._patterns.eof is not None or self._patterns.timeout is not None:
            raise ConfigError("expects: pexpect.EOF and pexpect.TIMEOUT cannot be answered")
        self._matcher = Matcher(waiting_limit=LIMIT)

    def feed(self, text: str) -> Iterator[str | bytes]:
        """Yield what to send, in order. A callable answer is called with its `ExpectMatch` when its turn comes."""
        for start in range(0, len(text) if self._answers else 0, PIECE):
            self._matcher.add(text[start : start + PIECE])
            while match := self._matcher.search(self._patterns):
                answer = self._answers[match.index]
                yield _checked(answer(match)) if callable(answer) else answer
                if match == match.before:  # it matched between two characters, and would again
                    self._matcher.add(self._matcher.take()[1:])


def _pairs(expects: Expects) -> list[tuple[Any, Answer]]:
    if expects is None:
        return []
    pairs: list[Any]
    if isinstance(expects, Mapping):
        pairs = list(expects.items())
    elif isinstance(expects, Sequence) and all(isinstance(pair, (tuple, list)) for pair in expects):
        pairs = list(expects)
    else:
        pairs = [expects]
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"expects: {shorten(repr(pair))}: give pairs of a pattern and its answer, or a mapping")
        if not callable(pair[1]):
            _checked(pair[1])
    return [(pattern, answer) for pattern, answer in pairs]


def _checked(answer: Any) -> str | bytes:
    if isinstance(answer, (str, bytes)):
        return answer
    raise ConfigError(f"expects: {shorten(repr(answer))}: an answer is a str, bytes, or a callable that returns one")
