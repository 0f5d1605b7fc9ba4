"""What a host refuses before anything is contacted."""

from __future__ import annotations

from typing import Any

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, Lab, LocalHost, UnixHost


def test_hops_that_go_in_a_circle_are_refused() -> None:
    first = UnixHost("first.example")
    second = UnixHost("second.example", hop=first)
    third = UnixHost("third.example", hop=second)
    with pytest.raises(ConfigError, match=r"first.example -> third.example -> second.example -> first.example"):
        first.hop = third
    with pytest.raises(ConfigError, match="circle"):
        first.hop = first
    assert first.hop is None and third.hop is second


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": ""},
        {"host": "-oProxyCommand=x"},
        {"term": "rlogin"},
        {"port": 0},
        {"port": 65536},
        {"id": "a b"},
        {"docker_command": "docker"},
        {"docker_command": ()},
        {"hop": "gateway"},
        {"hop": UnixHost("telnet.example", term="telnet")},
        {"default_timeout": -1},
        {"shell": ""},
    ],
)
def test_a_machine_with_a_wrong_argument_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        UnixHost(**{"host": "lab.example", **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {"user": "a b"},
        {"user": "-u"},
        {"workdir": ""},
        {"warm": 3},
        {"env": {"A B": "x"}},
        {"env": {"A": 1}},
        {"env": {"A": "a\0b"}},
        {"default_timeout": float("nan")},
        {"parent": "lab.example"},
    ],
)
def test_a_container_with_a_wrong_argument_is_refused(arguments: dict[str, Any]) -> None:
    given: dict[str, Any] = {"parent": UnixHost("lab.example"), "container_id": "c", "project": "p", "service": "s"}
    with pytest.raises(ConfigError):
        DockerContainerHost(**{**given, "compose_project": "", **arguments})


def test_the_repr_of_hosts_sessions_and_labs_is_one_short_line() -> None:
    machine = UnixHost("192.0.2.10", "tester", id="carrot")
    container = DockerContainerHost(machine, "4f2a" * 16, "repo1", "api", "otto-repo1-me", env={"TOKEN": "secret"})
    values = [machine, container, LocalHost(), container.open_session("build"), container.aio, Lab("bench", [machine])]
    assert [repr(value) for value in values] == [
        "<UnixHost carrot ssh tester@192.0.2.10>",
        "<DockerContainerHost carrot.repo1.api>",
        "<LocalHost local>",
        "<HostSession 'build' of carrot.repo1.api not open>",
        "<AsyncHost carrot.repo1.api>",
        "<Lab bench: 1 hosts, 0 projects>",
    ]
