"""Checks of public arguments: what is valid comes back, what is not is a ConfigError that names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otto_docker_sync.arguments import (
    check_choice,
    check_count,
    check_flag,
    check_path,
    check_port,
    check_seconds,
    check_text,
    timeout_seconds,
)
from otto_docker_sync.errors import ConfigError


def term(what: str, value: Any) -> str:
    return check_choice(what, value, ("ssh", "telnet"))


def positive(what: str, value: Any) -> int:
    return check_count(what, value, minimum=1)


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (check_seconds, 0.5, 0.5),
        (check_seconds, timedelta(minutes=1), 60.0),
        (check_count, 0, 0),
        (positive, 1, 1),
        (check_port, 22, 22),
        (check_flag, False, False),
        (check_text, "bash", "bash"),
        (check_path, Path("a"), Path("a")),
        (term, "telnet", "telnet"),
    ],
)
def test_what_is_valid_comes_back(check: Callable[[str, Any], Any], value: Any, result: Any) -> None:
    assert check("it", value) == result


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (check_seconds, [0, -1, math.nan, math.inf, True, "5", None, timedelta(0)]),
        (check_count, [-1, 1.0, True, "1", None]),
        (positive, [0]),
        (check_port, [0, 65536, 22.0, True, "22", None]),
        (check_flag, [0, 1, "yes", None]),
        (check_text, ["", "a\0b", b"x", 5, None]),
        (check_path, ["", "a\0b", b"x", 5, None]),
        (term, ["rsh", 5, None]),
        (lambda what, value: timeout_seconds(value, what), [-1, math.nan, True, "5"]),
    ],
)
def test_what_is_not_valid_is_refused_by_name(check: Callable[[str, Any], Any], values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=r"^it=.*: pass "):
            check("it", value)


def test_a_path_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WHERE", "logs")
    assert check_path("it", "~/$WHERE") == Path("/home/me/logs")


def test_a_wrong_value_is_shown_shortened() -> None:
    with pytest.raises(ConfigError) as caught:
        check_port("port", "x" * 100_000)
    assert len(str(caught.value)) < 300
