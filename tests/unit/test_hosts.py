"""What a host refuses before anything is contacted."""

from __future__ import annotations

from typing import Any

import pytest

from otto_docker_sync import ConfigError, DockerContainerHost, Lab, LocalHost, SessionBusy, UnixHost


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
        {"warm": -1},
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


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("lab-17", None, "lab-17", None),
        ("me@lab-17", "me", "lab-17", None),
        ("me@lab-17:2222", "me", "lab-17", 2222),
        ("192.0.2.10:22", None, "192.0.2.10", 22),
        ("me@corp.example@lab-17", "me@corp.example", "lab-17", None),
        ("fe80::1%eth0", None, "fe80::1%eth0", None),
        ("me@[2001:db8::7]:2222", "me", "2001:db8::7", 2222),
        ("[2001:db8::7]", None, "2001:db8::7", None),
    ],
)
def test_a_machine_is_written_as_ssh_has_it(text: str, user: str | None, host: str, port: int | None) -> None:
    machine = UnixHost(text)
    assert (machine.user, machine.host, machine.port, machine.id) == (user, host, port, host.lower())


@pytest.mark.parametrize(
    "text", ["@lab-17", "me@", "lab-17:", "lab-17:ssh", "lab-17:0", "lab-17:65536", "me@-x", "a b", ":22"]
)
def test_an_address_that_is_not_valid_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="host="):
        UnixHost(text)


def test_user_and_port_may_be_given_once() -> None:
    assert UnixHost("me@lab-17:22", "me", port=22).user == "me"
    with pytest.raises(ConfigError, match="user='you'"):
        UnixHost("me@lab-17", "you")
    with pytest.raises(ConfigError, match="port=23"):
        UnixHost("lab-17:22", port=23)


def test_a_callback_that_calls_its_own_session_is_refused_at_once_and_harms_nothing() -> None:
    """It would wait for itself, with or without a timeout."""
    with LocalHost() as host:
        refusals: list[str] = []

        def call_again(_: str) -> None:
            try:
                host.run("echo inner")
            except SessionBusy as error:
                refusals.append(str(error))

        assert host.run("echo outer", on_output=call_again, timeout=60).output == "outer\n"
        assert refusals and all("this thread is inside run(" in text for text in refusals), refusals
        assert "use another session: open_session()" in refusals[0]
        assert host.run("echo after", timeout=60).output == "after\n"
