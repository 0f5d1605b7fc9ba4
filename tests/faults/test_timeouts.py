"""A command that is out of time is gone from the container, whatever it is, and the next call works."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.rig.containers import Container

from .helpers import Call, running, time_to_begin, until

if TYPE_CHECKING:
    from otto_docker_sync import CommandResult, DockerContainerHost

EVERYWHERE = {
    "a plain program": "sleep 9001",
    "a pipeline": "sleep 9001 | sleep 9001",
    "a job in the background": "sleep 9001 & sleep 9001",
    "a grandchild without a parent": "(sleep 9001 & sleep 9001 &); sleep 9001",
    "a child deaf to INT and TERM": "sh -c \"trap '' INT TERM HUP; while :; do sleep 9001; done\"",
    "a shell of its own": "sh -c 'sleep 9001; :'",
    "a list in a subshell": "(sleep 9001; echo never)",
}
WITH_TOOLS = {
    "a session of its own": "setsid sleep 9001 & sleep 9001",
    "a session whose leader has ended": "setsid sh -c 'sleep 9001 & env -i sleep 9001 &'; sleep 9001",
    "an empty environment": "env -i sleep 9001 & env -i sh -c 'sleep 9001; :'",
    "a program that keeps the terminal raw": "stty raw -isig -echo 2>/dev/null; sleep 9001",
    "a reader": "cat; sleep 9001",
}
CASES = [
    *(("busybox", name) for name in (*EVERYWHERE, *WITH_TOOLS)),
    *(("dash", name) for name in EVERYWHERE),
    *(("bash", name) for name in ("a child deaf to INT and TERM", "a session of its own", "an empty environment")),
]
COMMANDS = {**EVERYWHERE, **WITH_TOOLS}

MakeHost = Callable[..., "DockerContainerHost"]


def assert_gone(container: Container, result: CommandResult, timeout: float = 1) -> None:
    assert result.timed_out and result.retcode is None, result
    assert result.duration < timeout + 2.5, result
    until(lambda: not running(container, "9001"), 2, f"all is gone: {running(container, '9001')}")


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_timed_out_run_ends_its_processes_and_the_shell_keeps_its_state(
    kind: str, name: str, container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container(kind)
    host = container_host(container)
    assert host.run("KEPT=yes", timeout=10).ok
    assert_gone(container, host.run(f"echo partial; {COMMANDS[name]}", timeout=0.4))
    after = host.run("echo $KEPT", timeout=5)
    assert (after.output, after.new_session) == ("yes\n", False)


@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case[0] == "busybox" or "session" in case[1]])
def test_a_timed_out_oneshot_ends_its_processes(
    kind: str, name: str, container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container(kind)
    host = container_host(container)
    timeout = time_to_begin(host)
    result = host.oneshot(f"echo partial; {COMMANDS[name]}", timeout=timeout)
    if name != "a reader":  # its stdin is empty
        assert result.stdout == "partial\n"
    assert_gone(container, result, timeout)
    assert host.oneshot("echo ok", timeout=5).stdout == "ok\n"


@pytest.mark.parametrize("kind", ["busybox", "dash", "bash"])
def test_a_shell_that_ignores_everything_is_replaced_and_the_next_result_says_so(
    kind: str, container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container(kind)
    host = container_host(container)
    assert host.run(":", timeout=10).ok
    began = time.monotonic()
    result = host.run("trap '' INT TERM; while :; do :; done", timeout=0.3)
    assert result.timed_out and result.session_ended
    assert time.monotonic() - began < 8
    after = host.run("echo ok", timeout=5)
    assert (after.output, after.new_session) == ("ok\n", True)


@pytest.mark.parametrize(
    "options",
    [
        ("--user", "1000"),
        ("--cap-drop", "ALL", "--user", "1000", "--read-only"),
        ("--cap-drop", "ALL"),
        ("--pids-limit", "20"),
        ("--init",),
    ],
    ids=" ".join,
)
def test_timed_out_processes_end_in_containers_with_less_rights(
    options: tuple[str, ...], container_host: MakeHost, container: Callable[..., Container]
) -> None:
    made = container("busybox", *options)
    host = container_host(made)
    deaf = EVERYWHERE["a child deaf to INT and TERM"]
    assert host.run("KEPT=yes", timeout=10).ok
    assert_gone(made, host.run(f"setsid sleep 9001 & {deaf}", timeout=0.4))
    assert host.run("echo $KEPT", timeout=5).output == "yes\n"
    assert_gone(made, host.oneshot(f"setsid sleep 9001 & {deaf}", timeout=0.6))
    assert host.oneshot("echo ok", timeout=5).stdout == "ok\n"


def test_timed_out_processes_of_another_user_of_the_container_end(
    container_host: MakeHost, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container("busybox")
    host = container_host(container, user="tester")
    assert host.run("id -un", timeout=10).output == "tester\n"
    assert_gone(container, host.run("trap '' INT; setsid sleep 9001 & sleep 9001", timeout=0.4))
    assert host.run("id -un", timeout=5).output == "tester\n"


def test_a_command_that_finds_no_room_for_processes_ends_and_the_next_but_one_works(
    container_host: MakeHost, container: Callable[..., Container]
) -> None:
    made = container("busybox", "--pids-limit", "9", "--init")
    host = container_host(made)
    began = time.monotonic()
    result = host.run(f"(:); {' | '.join(['sleep 1.5'] * 8)}", timeout=6)
    assert result.retcode not in (None, 0) and "can't fork" in result.output, result
    until(lambda: not running(made, "sleep 1.5"), 3, "those that did start have ended")
    host.run("echo ok", timeout=5)  # a shell may have lost its terminal to what did start
    assert host.run("echo ok", timeout=5).output == "ok\n"
    assert time.monotonic() - began < 10


def test_twelve_timed_out_oneshots_leave_the_servers_session_slots_free(ctr: DockerContainerHost) -> None:
    calls = [Call(lambda: ctr.oneshot("sleep 9001", timeout=0.5)) for _ in range(12)]
    assert all(call.result(15).timed_out for call in calls)
    for _ in range(3):
        assert ctr.oneshot("echo ok", timeout=15).stdout == "ok\n"
    assert ctr.parent.connections.describe()["connections"] <= 2


def test_commands_of_a_list_that_no_time_is_left_for_are_skipped(ctr: DockerContainerHost) -> None:
    assert ctr.run("true").ok
    results = ctr.run(["echo one", "sleep 9001", "echo three"], timeout=1)
    assert [result.status.name for result in results] == ["SUCCESS", "ERROR", "SKIPPED"]
    assert ctr.run("echo ok", timeout=5).output == "ok\n"


def test_a_stopped_child_is_a_result_and_does_not_outlive_the_session(
    ctr: DockerContainerHost, shared_container: Callable[[str], Container]
) -> None:
    result = ctr.run("sh -c 'kill -STOP $$; sleep 9001'", timeout=5)
    assert result.retcode is not None and result.retcode > 128
    ctr.close()
    until(lambda: not running(shared_container("busybox"), "9001"), 2, "the stopped child is gone")
