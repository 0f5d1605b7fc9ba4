"""What a container itself has printed: `Host.logs`, against the real docker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from otto_docker_sync import (
    ConfigError,
    ConnectionLost,
    DockerContainerHost,
    LocalHost,
    NoSuchContainer,
    UnixHost,
)
from tests.faults.helpers import on_this_machine, until
from tests.rig.containers import Container
from tests.rig.proxy import Proxy

MakeContainer = Callable[..., Container]
ContainerHost = Callable[..., DockerContainerHost]
MakeHost = Callable[..., UnixHost]

TALKER = """
mkfifo /f
trap 'echo bye; exit 3' TERM
echo one; echo two; echo; printf 'caf\\303\\251\\n'
while read -r line </f; do echo "$line"; done &
while :; do sleep 0.1; done
"""
SAID = ["one", "two", "", "café"]


@pytest.fixture
def talker(container: MakeContainer, container_host: ContainerHost) -> tuple[Container, DockerContainerHost]:
    made = container("busybox", "--stop-signal", "TERM", command=("sh", "-c", TALKER))
    host = container_host(made)
    until(lambda: len(host.logs()) == 4, 20, "its first lines")
    return made, host


def say(container: Container, text: str) -> None:
    """Have the container print a line; returns when docker has it."""
    container.exec("sh", "-c", 'echo "$1" >/f', "sh", text)
    until(lambda: text in container.docker("logs", container.id), 20, f"the line {text!r}")


def clients(container: Container) -> list[int]:
    return on_this_machine(f"logs --timestamps --follow -- {container.id}")


def test_what_was_printed_is_returned_line_by_line(talker: tuple[Container, DockerContainerHost]) -> None:
    container, host = talker
    assert host.logs() == SAID
    assert host.logs(tail=2) == SAID[2:]
    assert host.logs(tail=0) == []
    say(container, "2026-01-31T12:00:00.000000000Z is no time of docker's")
    assert host.logs(tail=1) == ["2026-01-31T12:00:00.000000000Z is no time of docker's"]


def test_only_what_was_printed_since_a_moment(talker: tuple[Container, DockerContainerHost]) -> None:
    container, host = talker
    moment = datetime.now(timezone.utc)
    say(container, "late")
    assert host.logs(since=moment) == ["late"]
    assert host.logs(since=moment.astimezone(timezone(timedelta(hours=5)))) == ["late"]
    assert host.logs(since=timedelta(days=1)) == host.logs(since=86400.0) == [*SAID, "late"]
    assert host.logs(since=timedelta(days=1), tail=1) == ["late"]
    assert host.logs(since=0) == []
    assert host.logs(since=timedelta(days=365 * 100)) == [*SAID, "late"]


def test_a_stopped_container_still_has_its_log(talker: tuple[Container, DockerContainerHost]) -> None:
    container, host = talker
    container.docker("stop", container.id)
    assert host.logs() == [*SAID, "bye"]
    assert list(host.logs(follow=True)) == [*SAID, "bye"]
    assert not host.is_running()


def test_following_gives_lines_as_they_come_until_the_container_ends(
    talker: tuple[Container, DockerContainerHost],
) -> None:
    container, host = talker
    lines = host.logs(follow=True, tail=1)
    assert next(lines) == "café"
    say(container, "now")
    assert next(lines) == "now"
    container.docker("stop", container.id)
    assert list(lines) == ["bye"]


def test_a_followed_log_ends_with_its_iterator_its_timeout_and_its_host(
    talker: tuple[Container, DockerContainerHost],
) -> None:
    container, host = talker
    lines = host.logs(follow=True)
    assert next(lines) == "one"
    lines.close()
    in_time = list(host.logs(follow=True, timeout=1))
    assert in_time == SAID[: len(in_time)]  # on a busy machine fewer come in a second
    followed: list[str] = []
    started = threading.Event()

    def follow() -> None:
        for line in host.logs(follow=True):
            followed.append(line)
            if len(followed) == 4:
                started.set()

    thread = threading.Thread(target=follow)
    thread.start()
    started.wait(30)
    idle = host.logs(follow=True)
    assert next(idle) == "one"
    host.close()
    thread.join(30)
    assert not thread.is_alive()
    assert followed == SAID
    assert list(idle) in ([], SAID[1:])
    until(lambda: not clients(container), 20, "the end of all clients")


def test_an_interrupted_loop_ends_the_client_too(
    talker: tuple[Container, DockerContainerHost],
) -> None:
    container, host = talker
    with pytest.raises(KeyboardInterrupt):
        for _ in host.logs(follow=True):
            raise KeyboardInterrupt
    until(lambda: not clients(container), 20, "the end of all clients")


def test_long_lines_and_a_last_one_without_an_end_are_whole(
    container: MakeContainer, container_host: ContainerHost
) -> None:
    program = "s=0123456789; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do s=$s$s; done; echo $s; echo x$s; printf end"
    made = container("busybox", command=("sh", "-c", program))
    made.docker("wait", made.id)
    line = "0123456789" * 4096
    assert container_host(made).logs() == [line, f"x{line}", "end"]


def test_both_streams_are_returned(container: MakeContainer, container_host: ContainerHost) -> None:
    made = container("busybox", command=("sh", "-c", "echo out; echo err >&2"))
    made.docker("wait", made.id)
    assert sorted(container_host(made).logs()) == ["err", "out"]


def test_a_container_with_a_terminal(container: MakeContainer, container_host: ContainerHost) -> None:
    made = container("busybox", "--tty", command=("sh", "-c", "echo one; echo two >&2"))
    made.docker("wait", made.id)
    assert container_host(made).logs() == ["one", "two"]


def test_what_a_wrapper_around_docker_prints_is_not_in_the_log(
    container: MakeContainer, container_host: ContainerHost, make_unix_host: MakeHost
) -> None:
    noisy = ("sh", "-c", 'echo "sudo: unable to resolve host"; echo noise >&2; exec docker "$@"', "sh")
    made = container("busybox", command=("echo", "hello"))
    made.docker("wait", made.id)
    assert container_host(made, make_unix_host(docker_command=noisy)).logs() == ["hello"]


def test_a_log_that_cannot_be_had_is_an_error_that_says_why(
    container: MakeContainer, container_host: ContainerHost, unix_host: UnixHost
) -> None:
    with pytest.raises(NoSuchContainer, match=r"carrot\.repo1\.api: no such container"):
        container_host("nosuch").logs()
    declared = container_host("", compose_project="never-up")
    with pytest.raises(NoSuchContainer, match="'never-up' for the service 'api', neither one that runs"):
        declared.logs()
    silent = container("busybox", "--log-driver", "none", command=("echo", "hello"))
    with pytest.raises(Exception, match="logging driver keeps nothing") as raised:
        container_host(silent).logs()
    assert type(raised.value).__name__ == "DockerUnavailable"
    for machine in unix_host, LocalHost():
        with pytest.raises(ConfigError, match="a machine has no log of its own"):
            machine.logs(follow=True)


@pytest.mark.parametrize("since", [-1, float("nan"), True, "5", datetime(2026, 1, 31)])
def test_a_since_that_is_not_valid_is_refused(ctr: DockerContainerHost, since: object) -> None:
    with pytest.raises(ConfigError, match=r"since=.*: pass "):
        ctr.logs(since=since)  # type: ignore[call-overload]


def test_a_lost_link_ends_a_followed_log_with_an_error(
    talker: tuple[Container, DockerContainerHost], make_unix_host: MakeHost, proxy: Proxy, container_host: ContainerHost
) -> None:
    container, _ = talker
    lines = container_host(container, make_unix_host(port=proxy.port)).logs(follow=True)
    assert next(lines) == "one"
    proxy.drop()
    with pytest.raises(ConnectionLost):
        list(lines)


def test_a_recreated_container_is_found_by_its_labels(container: MakeContainer, container_host: ContainerHost) -> None:
    labels = [f"--label=com.docker.compose.{name}" for name in ("project=p1", "service=api", "container-number=1")]
    first = container("busybox", *labels, command=("echo", "first"))
    host = container_host("", compose_project="p1")
    first.docker("wait", first.id)
    assert host.logs() == ["first"]
    assert host.container_id == ""
    host.container_id = first.id
    first.remove()
    second = container("busybox", *labels, command=("echo", "second"))
    second.docker("wait", second.id)
    assert host.logs() == ["second"]


def test_a_log_can_be_awaited_or_followed_in_a_coroutine(talker: tuple[Container, DockerContainerHost]) -> None:
    container, host = talker

    async def first() -> str:
        async for line in host.aio.logs(follow=True, tail=1):
            return line
        raise AssertionError("it printed nothing")

    async def cancelled() -> list[str]:
        followed: list[str] = []

        async def follow() -> None:
            async for line in host.aio.logs(follow=True):
                followed.append(line)

        task = asyncio.create_task(follow())
        while len(followed) < len(SAID):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return followed

    async def main() -> None:
        assert await host.aio.logs(tail=2) == SAID[2:]
        assert await first() == "café"
        assert await cancelled() == SAID

    asyncio.run(main())
    until(lambda: not clients(container), 20, "the end of all clients")
