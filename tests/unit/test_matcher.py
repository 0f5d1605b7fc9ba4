"""The matcher: what is found where, what stays, what is refused, and what it costs."""

from __future__ import annotations

import re
from typing import Any

import pexpect
import pytest

from otto_docker_sync._shell.matcher import Matcher, Responder, TextStream
from otto_docker_sync._shell.patterns import CompiledPattern, compile_exact, compile_patterns
from otto_docker_sync.errors import ConfigError
from otto_docker_sync.limits import IDLE_TEXT, MATCH_WINDOW


class CountingMatcher(Matcher):
    """Counts the characters that a regex is let loose on."""

    scanned = 0

    def _scan(self, pattern: CompiledPattern, text: str, start: int) -> re.Match[str] | None:
        self.scanned += len(text) - start
        return super()._scan(pattern, text, start)


def matcher_with(data: bytes, **options: Any) -> Matcher:
    matcher = Matcher(**options)
    matcher.feed(data)
    return matcher


def test_a_match_consumes_up_to_its_end_and_what_follows_stays() -> None:
    matcher = matcher_with(b"Debian\nlab login: pass")
    match = matcher.search(compile_patterns(r"(\w+) login: "))
    assert match == "Debian\nlab login: "
    assert (match.index, match.before, match.groups()) == (0, "Debian\n", ("lab",))
    assert match.match is not None and match.match[0] == "lab login: "
    assert matcher.text == "pass"
    assert matcher.search(compile_patterns("login")) is None


@pytest.mark.parametrize(
    ("patterns", "text", "index"),
    [
        (["bar", "foo", "foobar"], "foobar", 1),
        (["foobar", "foo"], "foobar", 0),
        (["b", "a"], "ab", 1),
        ([pexpect.EOF, "b", pexpect.TIMEOUT, "a"], "ab", 3),
        (["<<.*>>", "b"], f"<<{'x' * 20_000}b{'x' * 20_000}>>", 0),
    ],
)
def test_the_earliest_match_wins_and_ties_go_to_the_order_of_the_list(
    patterns: list[Any], text: str, index: int
) -> None:
    match = matcher_with(text.encode()).search(compile_patterns(patterns))
    assert match is not None and match.index == index


def test_the_dot_matches_line_ends_as_in_pexpect() -> None:
    assert matcher_with(b"a\nb").search(compile_patterns("a.b")) == "a\nb"


@pytest.mark.parametrize("pattern", [r"abc$", r"(?m)^abc$", r"^abc\n", "abc\r\n", r"abc\r\n", r"abc[^\r\n]*\r\n"])
def test_line_ends_match_although_a_terminal_sends_two_characters(pattern: str) -> None:
    match = matcher_with(b"abc\r\n", newlines=True).search(compile_patterns(pattern))
    assert match in ("abc", "abc\n")


def test_a_backslash_or_bracket_before_r_is_left_alone() -> None:
    regexes = compile_patterns([r"\\r\\n", r"[\r\n]x", r"a\r\n?", "(?:x\r\n)+"]).regexes
    assert [wanted.regex.pattern for wanted in regexes] == [r"\\r\\n", r"[\r\n]x", r"a\r\n?", r"(?:x\r?\n)+"]


def test_a_compiled_pattern_keeps_its_flags() -> None:
    assert matcher_with(b"LOGIN").search(compile_patterns(re.compile("login", re.IGNORECASE))) == "LOGIN"


def test_a_line_start_matches_at_the_start_of_what_was_not_consumed() -> None:
    matcher = matcher_with(b"one two")
    assert matcher.search(compile_patterns("one ")) == "one "
    assert matcher.search(compile_patterns("^two")) == "two"


def test_a_line_start_does_not_match_where_a_long_text_was_cut() -> None:
    matcher, patterns = Matcher(), compile_patterns(r"^x|\Ax|(?<!x)x")
    for _ in range(40):
        matcher.feed(b"y" + b" " * MATCH_WINDOW)
        assert matcher.search(patterns) is None
    for _ in range(3):
        matcher.add("x")
    assert matcher.search(compile_patterns(["^x", "xxx"])).index == 1  # type: ignore[union-attr]


def test_a_long_match_is_found_across_many_pieces() -> None:
    matcher, patterns = Matcher(), compile_patterns("BEGIN.*END")
    for _ in range(300):
        matcher.feed(b"noise " * 100)
        assert matcher.search(patterns) is None
    matcher.feed(b"BEGIN")
    for _ in range(50):
        matcher.feed(b"x" * 1000)
        assert matcher.search(patterns) is None
    matcher.feed(b"END.")
    match = matcher.search(patterns)
    assert match is not None and match.match is not None
    assert len(match.match[0]) == 50_008 and len(match) == 300 * 600 + 50_008
    assert matcher.text == "."


def test_a_match_with_much_behind_it_in_the_same_piece_is_found() -> None:
    assert matcher_with(b"MATCH" + b"x" * 10 * MATCH_WINDOW).search(compile_patterns("MAT+CH")) == "MATCH"


def test_no_text_is_lost_by_a_timeout() -> None:
    matcher = matcher_with(b"real data")
    nothing = compile_patterns(["zz", pexpect.TIMEOUT])
    assert matcher.search(nothing) is None
    match = matcher.at_timeout(nothing)
    assert (match, match.index, match.before, match.match) == ("real data", 1, "real data", None)  # type: ignore[union-attr]
    assert matcher.at_timeout(compile_patterns("zz")) is None
    assert matcher.search(compile_patterns("real")) == "real"


def test_the_end_of_the_stream_is_a_match_for_eof_which_consumes_all() -> None:
    matcher = matcher_with(b"last words\xc3")
    assert matcher.at_end(compile_patterns("zz")) is None
    match = matcher.at_end(compile_patterns(["zz", pexpect.EOF]))
    assert (match, match.index, match.before) == ("last words\ufffd", 1, "last words\ufffd")  # type: ignore[union-attr]
    assert match is not None and match.groups() == () and matcher.text == ""


def test_what_was_held_back_can_still_match_at_the_end() -> None:
    matcher = matcher_with(b"bell\r", newlines=True)
    patterns = compile_patterns([pexpect.EOF, "bell\\r"])
    assert matcher.search(patterns) is None
    assert matcher.at_end(patterns) == "bell\r"


@pytest.mark.parametrize("rest", [b"\nmore", b"more"])
def test_a_return_that_nothing_follows_can_match_and_is_seen_once(rest: bytes) -> None:
    matcher = matcher_with(b"ready\r", newlines=True)
    patterns = compile_patterns("ready\r")
    assert matcher.search(patterns) is None and matcher.holds_return and patterns.have_return
    assert matcher.search_return(patterns) == "ready\r"
    assert not matcher.holds_return and matcher.text == ""
    matcher.feed(rest)
    assert matcher.text == rest.decode()


def test_a_return_that_was_only_looked_at_stays() -> None:
    matcher = matcher_with(b"ready\r", newlines=True)
    assert matcher.search(patterns := compile_patterns("ready(?=\r)")) is None
    assert matcher.search_return(patterns) == "ready"
    matcher.feed(b"more")
    assert matcher.text == "\rmore"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ([], "at least one"),
        ((), "at least one"),
        (None, "at least one"),
        (5, "at least one"),
        ("a(", "'a\\(' is not a valid regular expression"),
        (["ok", "[z-a]"], "'\\[z-a\\]' is not a valid regular expression"),
        (b"caf\xe9", "not valid UTF-8"),
        (re.compile(rb"caf\xe9"), "not valid UTF-8"),
        (re.compile(b"caf\\xe9"), "not valid UTF-8"),
        (["ok", 5], "5: pass a str"),
        ("", "matches the empty text"),
        ("a*", "matches the empty text"),
        ("$", "'\\$' matches the empty text"),
        (ValueError, "only pexpect.EOF and pexpect.TIMEOUT"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused(pattern: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compile_patterns(pattern)


def test_bytes_are_patterns_too() -> None:
    matcher = matcher_with("café 12 x".encode())
    match = matcher.search(compile_patterns(["never", "é (\\d+)".encode()]))
    assert match is not None and (match.index, match.groups()) == (1, ("12",))
    matcher = matcher_with("né x".encode())
    match = matcher.search(compile_patterns(re.compile(rb"\w+", re.IGNORECASE)))
    assert match == "n"  # as with bytes, letters are those of ASCII


def test_an_exact_text_has_no_special_characters() -> None:
    matcher = matcher_with(b"a.c [y/n]\r\nrest", newlines=True)
    assert matcher.search(compile_exact(["abc", "a.c"])) == "a.c"
    match = matcher.search(compile_exact(["z", b"[y/n]\r\n"]))
    assert match is not None and (match, match.index) == (" [y/n]\n", 1)
    assert str(compile_exact(["[", pexpect.EOF])) == "'[' or EOF"
    with pytest.raises(ConfigError, match="expect\\(\\) takes a regex"):
        compile_exact(re.compile("x"))
    with pytest.raises(ConfigError, match="matches the empty text"):
        compile_exact("")


def test_a_line_end_of_a_terminal_is_found_by_a_compiled_pattern_too() -> None:
    matcher = matcher_with(b"done\r\nrest", newlines=True)
    assert matcher.search(compile_patterns(re.compile(r"done\r\n"))) == "done\n"


@pytest.mark.parametrize(
    ("pattern", "has_hint"),
    [(re.compile("done\r"), True), (r"done\r", True), (r"[\r]x", True), (r"a\\r", False), ("a\r\n", False)],
)
def test_a_carriage_return_that_may_find_nothing_is_named(pattern: Any, has_hint: bool) -> None:
    assert ("may find nothing" in compile_patterns(pattern).hint) == has_hint


def test_patterns_say_what_they_are() -> None:
    assert str(compile_patterns([pexpect.EOF, "a.b", re.compile("c"), pexpect.TIMEOUT])) == (
        "EOF or 'a.b' or 'c' or TIMEOUT"
    )


@pytest.mark.parametrize("pattern", ["DONE", "D.NE", r"(?i)done\d"])
def test_the_cost_of_a_search_grows_with_the_stream_and_not_with_its_square(pattern: str) -> None:
    def cost(pieces: int) -> int:
        matcher, patterns = CountingMatcher(), compile_patterns(pattern)
        for _ in range(pieces):
            matcher.feed(b"0123456789abcdef" * 128)
            assert matcher.search(patterns) is None
        assert len(matcher.text) == pieces * 2048
        return matcher.scanned

    short, long = cost(500), cost(1000)
    assert long < 2.2 * short
    assert long <= 1000 * (2048 + MATCH_WINDOW)


@pytest.mark.parametrize("pattern", [".*ready", "(.*)ready", r".+\$ $", ".*?password:"])
def test_a_pattern_that_begins_with_anything_is_tried_once_and_not_at_every_character(pattern: str) -> None:
    matcher = matcher_with(b"x" * 1_000_000)
    patterns = compile_patterns([pattern, "never"])
    assert matcher.search(patterns) is None
    matcher.feed(b"not ready: password: $ ")
    match = matcher.search(patterns)
    assert match is not None and len(match) >= 1_000_000 and match.index == 0


def test_anything_or_something_else_is_looked_for_everywhere() -> None:
    assert matcher_with(b"xxxb").search(compile_patterns(".*a|b")) == "xxxb"


def test_a_literal_is_looked_for_in_fresh_text_only() -> None:
    matcher, patterns = CountingMatcher(), compile_patterns("DONE")
    for _ in range(1000):
        matcher.feed(b"x" * 2000)
        assert matcher.search(patterns) is None
    assert matcher.scanned < 1000 * 2004


def test_text_that_nobody_waits_for_is_bounded_and_the_newest_stays() -> None:
    matcher = Matcher(limit=1000)
    for number in range(10_000):
        matcher.feed(b"%9d\n" % number)
        assert len(matcher.text) <= 2000
    assert len(matcher.text) >= 1000 and len(matcher.text) + matcher.dropped == 100_000
    assert matcher.search(compile_patterns("9999\n")) is not None


def test_text_since_the_beginning_of_a_search_is_kept() -> None:
    matcher, patterns = Matcher(limit=1000), compile_patterns("DONE")
    assert matcher.search(patterns) is None
    for _ in range(100):
        matcher.feed(b"x" * 1000)
        assert matcher.search(patterns) is None
    matcher.feed(b"DONE")
    match = matcher.search(patterns)
    assert match is not None and len(match) == 100_004 and matcher.dropped == 0


def test_a_search_without_end_is_bounded_too() -> None:
    matcher, patterns = CountingMatcher(waiting_limit=4 * MATCH_WINDOW), compile_patterns("DO+NE")
    for _ in range(1000):
        matcher.feed(b"x" * 5000)
        assert matcher.search(patterns) is None
        assert len(matcher.text) <= 8 * MATCH_WINDOW
    matcher.feed(b"DONE")
    assert matcher.search(patterns) is not None
    assert len(matcher.text) == 0 and matcher.dropped > 0
    assert matcher.scanned <= 1002 * (5000 + MATCH_WINDOW)


def test_characters_and_line_ends_cut_by_a_border_are_still_one() -> None:
    stream = TextStream(newlines=True)
    pieces = [stream.feed(piece) for piece in (b"\xc3", b"\xa9\r", b"\n\r", b"\r\n", b"\r", b"x\r")]
    assert pieces == ["", "é", "\n", "\r", "", "\rx"] or "".join(pieces) == "é\n\r\n\rx"
    assert stream.feed(b"\xff\xe2", final=True) == "\r\ufffd\ufffd"


def test_a_responder_answers_each_prompt_in_order_even_within_one_piece() -> None:
    responder = Responder([("Name: ", "ann\n"), (r"PIN (\d): ", lambda match: f"{match.groups()[0]}!".encode())])
    assert list(responder.feed("Name: PIN 1: PIN ")) == ["ann\n", b"1!"]
    assert list(responder.feed("2: Na")) == [b"2!"]
    assert list(responder.feed("me: ")) == ["ann\n"]
    assert list(responder.feed("bye")) == []


@pytest.mark.parametrize("expects", [{"a": "b"}, [("a", "b")], (("a", "b"),), ("a", "b"), [["a", "b"]], ["a", "b"]])
def test_expects_are_a_mapping_or_pairs_or_one_pair(expects: Any) -> None:
    assert list(Responder(expects).feed("xax")) == ["b"]


@pytest.mark.parametrize("expects", [None, {}, []])
def test_no_expects_answer_nothing(expects: Any) -> None:
    assert list(Responder(expects).feed("password: ")) == []


@pytest.mark.parametrize(
    ("expects", "says"),
    [
        ("ab", "pass pairs"),
        ([("a", "b", "c")], "pass pairs"),
        (("a", 5), "an answer is a str"),
        ({"a": None}, "an answer is a str"),
        ({pexpect.EOF: "b"}, "cannot be answered"),
        ({"": "b"}, "matches the empty text"),
    ],
)
def test_expects_that_make_no_sense_are_refused(expects: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Responder(expects)


def test_a_callable_answer_must_return_text() -> None:
    with pytest.raises(ConfigError, match="an answer is a str"):
        list(Responder({"a": lambda _: None}).feed("a"))  # type: ignore[dict-item, return-value]


def test_a_pattern_that_matches_between_characters_is_answered_once() -> None:
    responder = Responder({"(?<=:)": "x", r"(?=\?)": "y"})
    assert [list(responder.feed(piece)) for piece in ("user", ":", "n", "ok?", "", " no")] == [
        [],
        ["x"],
        [],
        ["y"],
        [],
        [],
    ]


def test_a_flood_of_prompts_costs_no_more_than_the_flood() -> None:
    responder = Responder({"prompt: ": "y", "never": "n"})
    counting = responder._matcher = CountingMatcher(waiting_limit=IDLE_TEXT)
    assert len(list(responder.feed("prompt: " * 50_000))) == 50_000
    assert counting.scanned < 400_000 * 2 * 300


def test_a_responder_keeps_no_more_than_it_may() -> None:
    responder = Responder({"never": "n"})
    for _ in range(200):
        assert list(responder.feed("x" * 65536)) == []
    assert len(responder._matcher.text) <= 2 * IDLE_TEXT
