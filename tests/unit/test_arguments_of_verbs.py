"""Arguments of a wrong type or size are refused in words, at once; a host is not copied by accident."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, LocalHost, UnsupportedParentError


@pytest.fixture
def host() -> Iterator[LocalHost]:
    with LocalHost() as made:
        yield made


@pytest.mark.parametrize(
    ("verb", "arguments", "options"),
    [
        ("run", (None,), {}),
        ("run", (5,), {}),
        ("run", ([5],), {}),
        ("run", ("true",), {"on_output": 5}),
        ("run", ("true",), {"timeout": "5"}),
        ("oneshot", (None,), {}),
        ("oneshot", ("true",), {"on_output": 5}),
        ("send", (None,), {}),
        ("send", (5,), {}),
        ("send", (b"x",), {}),
        ("sendline", (5,), {}),
        ("expect", (5,), {}),
        ("start_repeat", ("r", 5, 1.0), {}),
    ],
)
def test_a_wrong_type_is_refused_in_words(
    host: LocalHost, verb: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"pass |not a command|valid"):
        getattr(host, verb)(*arguments, **options)


@pytest.mark.parametrize("timeout", [1e9, 1e10, 1e300, 10**400, float("inf"), timedelta.max])
def test_a_timeout_may_have_any_size(host: LocalHost, timeout: Any) -> None:
    assert host.run("echo a", timeout=timeout).output == "a\n"
    assert host.oneshot("echo a", timeout=timeout).output == "a\n"


@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_host_and_a_session_are_not_doubled(host: LocalHost, double: Any) -> None:
    for owner in (host, host.open_session("own")):
        with pytest.raises(ConfigError, match="cannot be copied or pickled"):
            double(owner)


def test_a_session_is_refused_by_the_call_that_asks_for_it(host: LocalHost) -> None:
    container = DockerContainerHost(host, "web-1", "shop", "web", "")
    with pytest.raises(UnsupportedParentError, match="oneshot"):
        container.open_session("x")
