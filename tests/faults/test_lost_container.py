"""The container dies, pauses, restarts, is replaced under calls: they say so, and the next finds what is there."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync.errors import ContainerNotRunning, NoSuchContainer
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.proxy import Proxy

from .helpers import Call, on_this_machine, running, until

if TYPE_CHECKING:
    from otto_docker_sync import CommandResult, DockerContainerHost, UnixHost
    from otto_docker_sync.deadline import Deadline

MakeHost = Callable[..., "DockerContainerHost"]
MakeUnixHost = Callable[..., "UnixHost"]
MakeContainer = Callable[..., Container]

LONG = "echo >>/tmp/begun; echo partial; sleep 9003"


@pytest.fixture
def project() -> str:
    """The name of a compose project that no other test has."""
    return f"faults-{uuid.uuid4().hex}"


def labels(project: str) -> list[str]:
    """The arguments that make a container the project's first of the service "api"."""
    given = {"project": project, "service": "api", "container-number": "1", "oneoff": "False"}
    return [word for name, value in given.items() for word in ("--label", f"com.docker.compose.{name}={value}")]


def in_flight(host: DockerContainerHost, container: Container) -> list[Call[CommandResult]]:
    """A run and a oneshot that have begun and will take long."""
    calls = [Call(lambda: host.run(LONG)), Call(lambda: host.oneshot(LONG))]
    until(lambda: len(running(container, "sleep 9003")) == 2, 10, "both run")
    return calls


def assert_lost(calls: list[Call[CommandResult]], says: str) -> None:
    for call in calls:
        result = call.result(10)
        assert (result.output, result.retcode, result.timed_out) == ("partial\n", None, False), result
        assert says in result.message, result


@pytest.mark.parametrize("command", ["kill", "stop"])
def test_a_container_that_dies_is_told_from_a_command_that_does(
    container: MakeContainer, container_host: MakeHost, command: str
) -> None:
    made = container("busybox", "--init")
    host = container_host(made)
    calls = in_flight(host, made)
    made.docker(command, made.id)
    assert_lost(calls, "not running")
    for verb in (host.run, host.oneshot):
        with pytest.raises(ContainerNotRunning):
            verb("echo ok", timeout=10)
    made.docker("start", made.id)
    assert host.oneshot("cat /tmp/begun | wc -l", timeout=10).stdout.strip() == "2"  # type: ignore[union-attr]
    result = host.run("echo ok", timeout=10)
    assert (result.output, result.new_session) == ("ok\n", True)


def test_a_command_that_is_killed_with_its_container_says_so(
    container: MakeContainer, container_host: MakeHost
) -> None:
    made = container("busybox", "--init")
    host = container_host(made)
    for verb in (host.oneshot, host.run) * 3:
        result = verb("kill -TERM 1; sh -c 'kill -9 $$'", timeout=20)
        assert result.retcode is None and "not running" in result.message, result
        made.docker("start", made.id)


def test_a_command_that_is_killed_is_an_ordinary_result(ctr: DockerContainerHost) -> None:
    for verb in (ctr.run, ctr.oneshot):
        result = verb("sh -c 'kill -9 $$'", timeout=10)
        assert (result.retcode, result.message, result.session_ended) == (137, "", False), result


def test_a_container_that_restarts_is_said_to_have_and_nothing_runs_twice(
    container: MakeContainer, container_host: MakeHost
) -> None:
    made = container("busybox")
    host = container_host(made)
    calls = in_flight(host, made)
    made.docker("restart", "--time", "0", made.id)
    made.restarted()
    assert_lost(calls, "the container")
    result = host.run("cat /tmp/begun | wc -l", timeout=10)
    assert (result.output.strip(), result.new_session) == ("2", True)
    assert not running(made, "9003")


def test_on_a_slow_path_a_young_container_is_not_taken_for_one_that_restarted(
    container: MakeContainer, container_host: MakeHost, make_unix_host: MakeUnixHost, proxy: Proxy, account: Account
) -> None:
    parent = make_unix_host(port=proxy.port)
    assert parent.oneshot(":", timeout=10).ok
    made = container("busybox")
    call = Call(lambda: container_host(made, parent).oneshot(LONG))
    until(lambda: running(made, "sleep 9003"), 10, "it runs")
    proxy.delay(0.8)
    for pid in on_this_machine(made.id):
        if os.stat(f"/proc/{pid}").st_uid == account.uid:
            os.kill(pid, signal.SIGKILL)
    result = call.result(20)
    assert result.retcode is None and "outcome is unknown" in result.message, result
    assert "restarted" not in result.message, result
    proxy.delay(0)


def test_a_container_that_restarts_while_idle_gets_a_new_shell(
    container: MakeContainer, container_host: MakeHost
) -> None:
    made = container("busybox")
    host = container_host(made)
    assert host.run("KEPT=yes", timeout=10).ok
    made.docker("restart", "--time", "0", made.id)
    made.restarted()
    result = host.run("echo ok$KEPT", timeout=10)
    assert (result.output, result.new_session) == ("ok\n", True)


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_paused_container_is_named_and_never_runs_later_what_timed_out(
    container: MakeContainer, container_host: MakeHost, verb: str
) -> None:
    made = container("busybox")
    host = container_host(made)
    assert host.run("echo ok", timeout=10).ok
    made.docker("pause", made.id)
    try:
        try:
            result = getattr(host, verb)("echo >/tmp/late", timeout=1)
            assert result.timed_out and "paused" in result.message, result
        except ContainerNotRunning as error:
            assert "paused" in str(error)
    finally:
        made.docker("unpause", made.id)
    assert host.run("echo ok", timeout=10).output == "ok\n"
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"
    assert host.oneshot("ls /tmp/late", timeout=10).failed


def test_a_command_in_flight_in_a_paused_container_times_out_and_says_why(
    container: MakeContainer, container_host: MakeHost
) -> None:
    made = container("busybox")
    host = container_host(made)
    call = Call(lambda: host.run("while sleep 0.05; do echo >>/tmp/ticks; done", timeout=2))
    until(lambda: running(made, "sleep 0.05"), 10, "it runs")
    made.docker("pause", made.id)
    try:
        result = call.result(15)
        assert result.timed_out and "paused" in result.message, result
    finally:
        made.docker("unpause", made.id)
    until(lambda: not running(made, "sleep 0.05"), 3, "it is gone")
    assert host.run("echo ok", timeout=10).output == "ok\n"


def test_a_renamed_container_keeps_its_session(container: MakeContainer, container_host: MakeHost) -> None:
    made = container("busybox")
    host = container_host(made.name)
    assert host.run("KEPT=yes", timeout=10).ok
    made.docker("rename", made.id, f"{made.name}-renamed")
    assert host.run("echo $KEPT", timeout=10).output == "yes\n"
    with pytest.raises(NoSuchContainer):
        host.oneshot("echo ok", timeout=10)


def test_a_container_that_is_removed_is_no_such_container(container: MakeContainer, container_host: MakeHost) -> None:
    made = container("busybox")
    host = container_host(made)
    calls = in_flight(host, made)
    made.remove()
    assert_lost(calls, "unknown")
    for verb in (host.run, host.oneshot):
        with pytest.raises(NoSuchContainer):
            verb("echo ok", timeout=10)
    assert not host.is_running()


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_container_that_was_recreated_is_found_by_its_labels(
    container: MakeContainer, container_host: MakeHost, project: str, verb: str
) -> None:
    old = container("busybox", *labels(project))
    host = container_host(old, compose_project=project)
    assert host.run("echo >>/tmp/old; KEPT=yes", timeout=10).ok
    old.remove()
    new = container("busybox", *labels(project))
    calls = [Call(lambda: getattr(host, verb)("echo x >>/tmp/count; echo ok$KEPT", timeout=10)) for _ in range(5)]
    assert [call.result(15).output for call in calls] == ["ok\n"] * 5
    assert new.exec("cat", "/tmp/count").count("x") == 5
    if verb == "run":
        assert sum(call.result(0).new_session for call in calls) == 1


def test_a_container_that_is_recreated_under_a_call_is_found_by_the_next(
    container: MakeContainer, container_host: MakeHost, project: str
) -> None:
    old = container("busybox", *labels(project))
    host = container_host("", compose_project=project)
    calls = in_flight(host, old)
    old.remove()
    assert_lost(calls, "unknown")
    new = container("busybox", *labels(project))
    assert host.run("hostname", timeout=10).output.strip() == new.id[:12]


def test_a_declared_container_that_was_stopped_is_brought_up_once_for_all_threads(
    container: MakeContainer, container_host: MakeHost, project: str
) -> None:
    made = container("busybox", *labels(project))
    host = container_host("", compose_project=project)
    brought: list[str] = []

    def bring_up(deadline: Deadline) -> str:
        brought.append(made.id)
        made.docker("start", made.id)
        return made.id

    host.bring_up_with(bring_up)
    assert host.oneshot("echo ok", timeout=10).ok
    made.docker("kill", made.id)
    calls = [Call(lambda: host.oneshot("echo ok", timeout=20)) for _ in range(6)]
    assert [call.result(25).stdout for call in calls] == ["ok\n"] * 6
    assert brought == [made.id]
