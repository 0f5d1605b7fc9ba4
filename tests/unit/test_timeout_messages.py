"""The message of a timeout names what kept the command waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from otto_docker_sync import LocalHost


@pytest.fixture
def host() -> Iterator[LocalHost]:
    with LocalHost() as host:
        yield host


def test_a_pattern_that_never_matched_is_named_with_the_output(host: LocalHost) -> None:
    result = host.run("printf 'Sure? '; read -r x", expects={"Sure? ": "yes\n"}, timeout=2)
    assert result.timed_out
    assert "'Sure? ' did not match the output, which ends with 'Sure? '" in result.message


def test_an_answer_without_a_line_end_is_named(host: LocalHost) -> None:
    result = host.run("printf 'Sure? '; read -r x", expects={"Sure": "yes"}, timeout=2)
    assert result.timed_out
    assert r"'Sure' was answered, but the answer has no line end (\n)" in result.message


def test_a_command_that_was_answered_is_not_blamed_on_the_answer(host: LocalHost) -> None:
    result = host.run("printf 'Sure? '; read -r x; sleep 4711", expects={"Sure": "yes\n"}, timeout=2)
    assert re.fullmatch(r"timed out after \d+\.\d s(, of which \d+\.\d s to open the shell)?", result.message)


def test_the_time_to_open_the_shell_is_in_the_number(host: LocalHost) -> None:
    host.run("true")
    assert re.fullmatch(r"timed out after \d+\.\d s", host.run("sleep 4711", timeout=1).message)
