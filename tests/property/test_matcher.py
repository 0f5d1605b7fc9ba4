"""However the bytes are cut into pieces, the matcher sees the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from otto_docker_sync._shell.matcher import Matcher, Responder, TextStream
from otto_docker_sync._shell.patterns import compile_patterns
from otto_docker_sync.result import Expects

ALPHABET = ["a", "b", "ab", "é", "☃", "\r\n", "\r", "\n", "login: ", "\ufffd"]
streams = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)
raw = st.one_of(st.binary(max_size=200), streams.map(str.encode))
# No greedy or optional end: what such a pattern takes depends on what has arrived, as in pexpect.
patterns = st.lists(
    st.sampled_from(["ab", "a+b", "é", r"\wn: ", "(?m)^login", "☃.b", r"b\r\n", "^b", "(a|b)é", r"(?<=\n)b"]),
    min_size=1,
    max_size=3,
)


@st.composite
def cut(draw: st.DrawFn, data: st.SearchStrategy[bytes] = raw) -> tuple[bytes, list[bytes]]:
    """Bytes, and the same bytes in pieces."""
    whole = draw(data)
    borders = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return whole, [whole[start:end] for start, end in zip([0, *borders], [*borders, len(whole)], strict=True)]


def matches(pieces: Iterable[bytes], wanted: list[str]) -> tuple[list[tuple[str, int]], str]:
    """All matches of a stream, one after the other, and what is left."""
    matcher, compiled, found = Matcher(newlines=True), compile_patterns(wanted), []
    for piece in pieces:
        matcher.feed(piece)
        while match := matcher.search(compiled):
            found.append((str(match), match.index))
    while match := matcher.at_end(compiled):
        found.append((str(match), match.index))
    return found, matcher.text


@given(cut())
def test_any_split_decodes_to_the_same_text(case: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = case
    for newlines in (False, True):
        stream = TextStream(newlines=newlines)
        text = "".join([*map(stream.feed, pieces), stream.feed(b"", final=True)])
        expected = whole.decode("utf-8", "replace")
        assert text == (expected.replace("\r\n", "\n") if newlines else expected)


@given(cut(streams.map(str.encode)), st.sampled_from(["ab", "é", r"(?m)^login", r"b\r\n", r"(?<=\n)b", "[^a]é"]))
def test_any_split_finds_the_same_matches(case: tuple[bytes, list[bytes]], pattern: str) -> None:
    whole, pieces = case
    assert matches(pieces, [pattern]) == matches([whole], [pattern])


@given(streams.map(str.encode), st.sampled_from(["ab", "a+b", "é", "☃.b", r"login: ", "(a|b)é"]))
def test_byte_by_byte_finds_the_same_matches_as_at_once(data: bytes, pattern: str) -> None:
    assert matches((data[i : i + 1] for i in range(len(data))), [pattern]) == matches([data], [pattern])


@given(cut(streams.map(str.encode)), patterns)
def test_nothing_is_lost_and_nothing_is_invented(case: tuple[bytes, list[bytes]], wanted: list[str]) -> None:
    whole, pieces = case
    found, left = matches(pieces, wanted)
    assert "".join(text for text, _ in found) + left == whole.decode().replace("\r\n", "\n")
    for text, index in found:
        regex = compile_patterns(wanted).regexes[index].regex
        assert any(match.end() == len(text) for match in re.finditer(regex, text)) or "(?" in regex.pattern


@given(cut(streams.map(str.encode)))
def test_any_split_gives_the_same_answers(case: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = case
    expects: Expects = {"login: ": "me\n", "é": lambda match: match.before.encode(), "ab": b"AB"}
    first, second = Responder(expects), Responder(expects)
    stream = TextStream()
    answers = [answer for piece in pieces for answer in first.feed(stream.feed(piece))]
    assert answers == list(second.feed(whole.decode()))


@given(cut(streams.map(str.encode)), st.integers(1, 20))
def test_memory_is_bounded_and_the_newest_text_stays(case: tuple[bytes, list[bytes]], limit: int) -> None:
    whole, pieces = case
    matcher = Matcher(limit=limit)
    for piece in pieces:
        matcher.feed(piece)
        assert len(matcher.text) <= 2 * limit
    text = whole.decode()
    assert text.endswith(matcher.text) and len(matcher.text) + matcher.dropped == len(text)
    assert len(matcher.text) >= min(limit, len(text))
