"""What was started in the background, when its container or its connection goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync.errors import ContainerNotRunning, OttoError, SessionClosed
from tests.rig.containers import Container
from tests.rig.proxy import Proxy

from .helpers import Call, on_this_machine, running, until

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, Process, UnixHost

MakeHost = Callable[..., "DockerContainerHost"]
MakeUnixHost = Callable[..., "UnixHost"]
MakeContainer = Callable[..., Container]

LONG = "echo partial; sleep 9016"


def started(host: DockerContainerHost, container: Container) -> Process:
    process = host.start(LONG)
    process.wait_for("partial\n", timeout=20)
    until(lambda: running(container, "sleep 9016"), 10, "it runs")
    return process


def assert_lost(process: Process, says: str) -> None:
    result = process.wait(timeout=30)
    assert (result.output, result.retcode) == ("partial\n", None), result
    assert says in result.message, result
    assert not process.running
    with pytest.raises(SessionClosed, match="ended before 'ready' arrived"):
        process.wait_for("ready", timeout=30)
    assert process.stop() is result
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("otto-process")]


@pytest.mark.parametrize("command", [("kill",), ("restart", "--time", "0"), ("rm", "--force")])
def test_its_container_goes(container: MakeContainer, container_host: MakeHost, command: tuple[str, ...]) -> None:
    made = container("busybox", "--init")
    process = started(container_host(made), made)
    made.docker(*command, made.id)
    assert_lost(process, "container")


def test_its_connection_is_lost(
    make_unix_host: MakeUnixHost, container_host: MakeHost, proxy: Proxy, container: MakeContainer
) -> None:
    made = container("busybox")
    host = container_host(made, make_unix_host(port=proxy.port))
    process = started(host, made)
    waiting = Call(lambda: process.wait_for("ready", timeout=50))
    proxy.drop()
    with pytest.raises((SessionClosed, OttoError)):
        waiting.result(30)
    assert_lost(process, "outcome is unknown")
    until(lambda: not running(made, "9016"), 10, "it is gone from the container")
    assert host.start("echo again").wait(timeout=30).output == "again\n"


def test_a_wait_ends_with_its_connection(
    make_unix_host: MakeUnixHost, container_host: MakeHost, proxy: Proxy, container: MakeContainer
) -> None:
    made = container("busybox")
    host = container_host(made, make_unix_host(port=proxy.port))
    waiting = Call(lambda: host.wait_for(log="never", timeout=50))
    until(lambda: on_this_machine(f"--follow -- {made.id}"), 20, "it follows the log")
    proxy.drop()
    with pytest.raises((ConnectionError, ContainerNotRunning)):
        waiting.result(40)
