"""Finds patterns in a stream that arrives in pieces. Pure: no I/O, no clock, no thread.

The plan. A matcher holds the text that nobody has consumed yet, in three parts:

    head    searched; too far back to be part of a match, and kept for `before` only
    tail    searched; a match may still begin in it
    fresh   arrived since the last search

A search joins `fresh` to `tail`. It starts at most MATCH_WINDOW characters before the fresh text (for a literal
pattern: the length of the pattern before it). So the cost of a search is MATCH_WINDOW + fresh, however long the stream
is. A text of up to MATCH_WINDOW characters is always searched from its beginning. A match is found however the stream
was cut into pieces, unless it is longer than MATCH_WINDOW when its last piece arrives. Patterns that are new to this
text start at its beginning, once.

The rules are those of pexpect: the match that begins first wins, and with two at the same place the first in the list
wins; ``.`` matches line ends too. A pattern with a greedy or optional end takes what is there when it first matches:
``\\d+`` may match only ``1`` of ``125``. So end such a pattern with what follows the number.

Memory: while a search waits, the text since its beginning is kept, up to WAITING_TEXT, because it is the result's
`before`. Of text that nobody waits for, the last `limit` characters are kept (up to twice as many, so that dropping
stays cheap). `dropped` counts the other characters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from ..limits import IDLE_TEXT, MATCH_WINDOW, RESPONDER_PIECE, UNMATCHED_TEXT, WAITING_TEXT
from ..logs import masked
from ..result import Answer, ExpectMatch, Expects, shorten
from .patterns import CompiledPattern, CompiledPatterns, compile_patterns


class TextStream:
    """Decodes UTF-8 piece by piece, with U+FFFD for invalid bytes.

    A character that is cut by the border of two pieces is decoded correctly. With ``newlines``, ``\\r\\n`` becomes
    ``\\n``, and nothing else changes; a ``\\r`` at the end of a piece is held back until the next piece arrives.

    >>> stream = TextStream(newlines=True)
    >>> stream.feed(b"caf\\xc3"), stream.feed(b"\\xa9\\r"), stream.feed(b"\\n")
    ('caf', 'é', '\\n')
    """

    def __init__(self, *, newlines: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._newlines = newlines
        self._held = ""

    @property
    def holds_return(self) -> bool:
        """Whether a ``\\r`` is held back."""
        return bool(self._held)

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return the text that is complete with `data`; with ``final``, also what was held back."""
        text = self._decoder.decode(data, final)
        if not self._newlines:
            return text
        text = self._held + text
        self._held = "\r" if text.endswith("\r") and not final else ""
        return text[: len(text) - len(self._held)].replace("\r\n", "\n")


class Matcher:
    """The text of one stream that nobody has consumed, and the search in it. For one thread at a time.

    >>> matcher = Matcher()
    >>> login = compile_patterns(r"(\\w+) login:")
    >>> matcher.feed(b"Debian 12\\nlab log"), matcher.search(login)
    (None, None)
    >>> matcher.feed(b"in: "), matcher.search(login).groups()
    (None, ('lab',))
    >>> matcher.text
    ' '
    """

    def __init__(self, *, newlines: bool = False, limit: int = IDLE_TEXT, waiting_limit: int = WAITING_TEXT) -> None:
        self.dropped = 0
        self._stream = TextStream(newlines=newlines)
        # Whether a match has consumed a "\r" that its stream still holds back.
        self._return_consumed = False
        # How much text is kept that nobody waits for, and how much while a search waits.
        self._limit, self._waiting_limit = limit, waiting_limit
        self._restart("")

    def _restart(self, text: str) -> None:
        """Hold `text` and nothing else, all of it still to be searched."""
        self._head: list[str] = []
        self._tail = text
        self._fresh: list[str] = []
        self._size = len(text)
        # These patterns have been searched for in the first `_scanned` characters of `_tail`.
        self._searched: CompiledPatterns | None = None
        self._scanned = 0

    @property
    def holds_return(self) -> bool:
        """Whether a ``\\r`` is held back, because a ``\\n`` may follow it."""
        return self._stream.holds_return and not self._return_consumed

    @property
    def text(self) -> str:
        """The text that has arrived and was not consumed."""
        return "".join([*self._head, self._tail, *self._fresh])

    def take(self) -> str:
        """Consume everything, and return it."""
        text = self.text
        self._restart("")
        return text

    def feed(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self.add(self._stream.feed(data))

    def add(self, text: str) -> None:
        """Add text that has arrived."""
        if not text:
            return
        if self._return_consumed:
            self._return_consumed = False
            text = text.removeprefix("\r")
        self._fresh.append(text)
        self._size += len(text)
        limit = self._waiting_limit if self._searched else self._limit
        if self._size > 2 * limit:
            self._drop(limit)

    def _drop(self, limit: int) -> None:
        kept, searched, fresh = self.text[-limit:], self._searched, sum(map(len, self._fresh))
        self.dropped += self._size - len(kept)
        self._restart(kept)
        self._searched, self._scanned = searched, max(0, len(kept) - fresh)

    def search(self, patterns: CompiledPatterns) -> ExpectMatch | None:
        """Find the first match, and consume the text up to its end.

        None means that there is none yet: feed more, or call `at_end` or `at_timeout`.
        """
        if patterns is not self._searched:
            self._restart(self.text)
            self._searched = patterns
        else:
            self._tail = "".join([self._tail, *self._fresh])
            self._fresh.clear()
        first = self._find(patterns, self._tail)
        if first is not None:
            return self._consume(*first)
        self._scanned = len(self._tail)
        # Two windows stay, because a pattern may look at the text before its match (lookbehind, \b).
        if self._scanned > 4 * MATCH_WINDOW:
            self._head.append(self._tail[: -2 * MATCH_WINDOW])
            self._tail = self._tail[-2 * MATCH_WINDOW :]
            self._scanned = len(self._tail)
        return None

    def search_return(self, patterns: CompiledPatterns) -> ExpectMatch | None:
        """After `search` has found nothing, and nothing has followed a ``\\r`` that is held back: search with that."""
        first = self._find(patterns, self._tail + "\r")
        if first is None:
            return None
        self._return_consumed = first[1].end() > len(self._tail)
        return self._consume(*first)

    def _find(self, patterns: CompiledPatterns, text: str) -> tuple[int, re.Match[str]] | None:
        first: tuple[int, re.Match[str]] | None = None
        for pattern in patterns.regexes:
            match = self._scan(pattern, text, max(0, self._scanned - pattern.lookback))
            if match and (first is None or match.start() < first[1].start()):
                first = pattern.position, match
        return first

    def _consume(self, index: int, match: re.Match[str]) -> ExpectMatch:
        before = "".join([*self._head, self._tail[: match.start()]])
        self._restart(self._tail[match.end() :])
        return ExpectMatch(before + match[0], index, before, match)

    def _scan(self, pattern: CompiledPattern, text: str, start: int) -> re.Match[str] | None:
        return (pattern.regex.match if pattern.from_start else pattern.regex.search)(text, start)

    def at_end(self, patterns: CompiledPatterns) -> ExpectMatch | None:
        """The stream has ended: search a last time, then match ``pexpect.EOF``, which consumes all the text.

        Returns None if EOF is not among the patterns.
        """
        self.add(self._stream.feed(b"", final=True))
        match = self.search(patterns)
        if match or patterns.eof is None:
            return match
        text = self.take()
        return ExpectMatch(text, patterns.eof, text, None)

    def at_timeout(self, patterns: CompiledPatterns) -> ExpectMatch | None:
        """The time is over: match ``pexpect.TIMEOUT``. Returns None if it is not among the patterns.

        The text stays for the next search.
        """
        self._restart(self.text)
        return None if patterns.timeout is None else ExpectMatch(self.text, patterns.timeout, self.text, None)


class Responder:
    """Answers the prompts of a command (``expects=``): one answer each time a pattern appears in the output.

    >>> list(Responder({"password: ": "secret\\n"}).feed("sudo password: "))
    ['secret\\n']
    """

    def __init__(self, expects: Expects) -> None:
        pairs = _list_pairs(expects)
        self._answers = [answer for _, answer in pairs]
        self._names = [shorten(repr(pattern)) for pattern, _ in pairs]
        self._patterns = compile_patterns([pattern for pattern, _ in pairs]) if pairs else CompiledPatterns(())
        if self._patterns.eof is not None or self._patterns.timeout is not None:
            raise ConfigError("expects: pexpect.EOF and pexpect.TIMEOUT cannot be answered")
        self._matcher = Matcher(waiting_limit=IDLE_TEXT)
        self._last: tuple[int, str | bytes] | None = None
        """The pattern that was answered last, and its answer."""

    def explain_wait(self) -> str:
        """Return what may keep a command waiting for input: "" when there is nothing to say."""
        if not self._answers:
            return ""
        if self._last is None:
            came = masked(self._matcher.text[-UNMATCHED_TEXT:])
            return f"{self._patterns} did not match the output, which ends with {came!r}"
        index, answer = self._last
        if answer and answer[-1:] not in ("\n", "\r", b"\n", b"\r"):
            return f"{self._names[index]} was answered, but the answer has no line end (\\n)"
        return ""

    @property
    def wants_return(self) -> bool:
        """Whether `feed_return` may find something."""
        return self._patterns.have_return

    def feed(self, text: str) -> Iterator[str | bytes]:
        """Yield the answers to send, in order. An answer that is a function is called with its `ExpectMatch`."""
        for start in range(0, len(text) if self._answers else 0, RESPONDER_PIECE):
            self._matcher.add(text[start : start + RESPONDER_PIECE])
            while match := self._matcher.search(self._patterns):
                yield self._answer(match)
                if match == match.before:  # an empty match between two characters, which would match there again
                    self._matcher.add(self._matcher.take()[1:])

    def feed_return(self) -> Iterator[str | bytes]:
        """Yield the answer to a match that ends with a ``\\r``, which `feed` gets only when more has arrived."""
        match = self._matcher.search_return(self._patterns)
        if match:
            yield self._answer(match)

    def _answer(self, match: ExpectMatch) -> str | bytes:
        answer = self._answers[match.index]
        sent = _check_answer(answer(match)) if callable(answer) else answer
        self._last = match.index, sent
        return sent


def _list_pairs(expects: Expects) -> list[tuple[Any, Answer]]:
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
            raise ConfigError(f"expects: {shorten(repr(pair))}: pass pairs of a pattern and its answer, or a mapping")
        if not callable(pair[1]):
            _check_answer(pair[1])
    return [(pattern, answer) for pattern, answer in pairs]


def _check_answer(answer: Any) -> str | bytes:
    if isinstance(answer, (str, bytes)):
        return answer
    raise ConfigError(f"expects: {shorten(repr(answer))}: an answer is a str, bytes, or a callable that returns one")
