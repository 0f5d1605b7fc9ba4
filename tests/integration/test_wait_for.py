"""Waiting for a service: its health check, a port, an address, its log, a command; and for one that dies first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from otto_docker_sync import (
    ConfigError,
    ConnectError,
    ContainerNotRunning,
    DockerContainerHost,
    LocalHost,
    NoSuchContainer,
    UnixHost,
    WaitTimedOut,
)
from tests.faults.helpers import Call, on_this_machine, until
from tests.rig.containers import Container

MakeHost = Callable[..., DockerContainerHost]
MakeContainer = Callable[..., Container]

NETWORK = ("--network", "bridge")


@pytest.fixture
def start(container: MakeContainer, container_host: MakeHost) -> Callable[..., DockerContainerHost]:
    """Start a container whose first process is a script that waits for /tmp/go before its last line."""

    def make(script: str, *run_args: str, kind: str = "busybox") -> DockerContainerHost:
        text = script.replace("WAIT", "while [ ! -e /tmp/go ]; do sleep 0.05; done")
        return container_host(container(kind, *run_args, command=("sh", "-c", text)))

    return make


def go(host: DockerContainerHost) -> None:
    # The container may end before the status of this has come.
    assert host.oneshot(": >/tmp/go").retcode in (0, None)


def waiting(host: DockerContainerHost, **what: object) -> Call[None]:
    """A wait that lasts: a short one was in vain."""
    with pytest.raises(WaitTimedOut):
        host.wait_for(**what, timeout=0.5)  # type: ignore[arg-type]
    return Call(lambda: host.wait_for(**what, timeout=50))  # type: ignore[arg-type]


class TestReady:
    @pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "[::]"])
    def test_a_port_is_seen_on_any_address_without_a_network(
        self, start: Callable[..., DockerContainerHost], address: str
    ) -> None:
        host = start(f"WAIT; exec httpd -f -p {address}:8080")
        call = waiting(host, port=8080)
        go(host)
        call.result(within=50)

    def test_an_address_answers(self, start: Callable[..., DockerContainerHost]) -> None:
        host = start("mkdir /www; WAIT; echo ok >/www/health; exec httpd -f -p 8080 -h /www", *NETWORK)
        call = waiting(host, http=":8080/health")
        go(host)
        call.result(within=50)
        host.wait_for(port=8080, http="/nowhere", timeout=50)  # 404: the server is there

    def test_an_error_of_the_server_is_not_ready(self, start: Callable[..., DockerContainerHost]) -> None:
        host = start("printf 'HTTP/1.0 503 Later\\r\\n\\r\\n' >/a; exec nc -ll -p 80 -e cat /a", *NETWORK)
        host.wait_for(port=80, timeout=50)
        with pytest.raises(WaitTimedOut, match=r"http :80/ does not hold; it answered 'HTTP/1.0 503 Later'"):
            host.wait_for(http="/", timeout=0)

    def test_its_log_shows_a_pattern_since_its_present_start(
        self, container: MakeContainer, container_host: MakeHost
    ) -> None:
        text = "echo start; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo ready 1 >&2; exec sleep 600"
        made = container("busybox", "--tmpfs", "/tmp", command=("sh", "-c", text))
        host = container_host(made)
        call = waiting(host, log=r"^ready \d$")
        go(host)
        call.result(within=50)
        host.wait_for(log=re.compile("READY", re.IGNORECASE), timeout=50)
        made.docker("restart", "--time", "0", made.id)
        made.restarted()
        call = waiting(host, log="ready")
        go(host)
        call.result(within=50)

    def test_a_command_succeeds(self, ctr: DockerContainerHost) -> None:
        call = waiting(ctr, command=["test", "-e", "/tmp/ready"])
        with pytest.raises(WaitTimedOut, match="exit status 3, last line 'not yet'"):
            ctr.wait_for(command="echo not yet; exit 3", timeout=0)
        ctr.oneshot(": >/tmp/ready")
        call.result(within=50)
        ctr.oneshot("rm /tmp/ready")

    def test_it_is_healthy(self, start: Callable[..., DockerContainerHost]) -> None:
        check = ("--health-cmd", "echo looked; test -e /tmp/go", "--health-interval", "1s", "--health-retries", "1")
        host = start("exec sleep 600", *check)
        with pytest.raises(WaitTimedOut, match="its health check does not hold; it is "):
            host.wait_for(healthy=True, timeout=0)
        go(host)
        host.wait_for(healthy=True, timeout=50)

    def test_machines_have_ports_and_commands(self, unix_host: UnixHost) -> None:
        ssh_port = int(unix_host.port or 0)
        with LocalHost() as local:
            for host in (unix_host, local):
                host.wait_for(port=ssh_port, command="true", timeout=50)
                with pytest.raises(WaitTimedOut, match=f"ports with a listener: .*{ssh_port}"):
                    host.wait_for(port=1, timeout=0)
                for what in ({"healthy": True}, {"log": "x"}):
                    with pytest.raises(ConfigError, match="a machine has no"):
                        host.wait_for(**what, timeout=50)  # type: ignore[arg-type]

    def test_a_timeout_of_nothing_looks_once(self, start: Callable[..., DockerContainerHost]) -> None:
        check = ("--health-cmd", "test -e /tmp/go", "--health-interval", "1s", "--health-retries", "1")
        host = start("WAIT; echo ready; exec httpd -f -p 8080", *NETWORK, *check)
        conditions: list[dict[str, object]] = [
            *({"port": 8080}, {"http": ":8080/"}, {"log": "ready"}, {"command": "test -e /tmp/go"}, {"healthy": True})
        ]
        for what in conditions:
            with pytest.raises(WaitTimedOut, match=r"does not hold"):
                host.wait_for(**what, timeout=0)  # type: ignore[arg-type]
        go(host)
        for what in conditions:
            host.wait_for(**what, timeout=50)  # type: ignore[arg-type]
            host.wait_for(**what, timeout=timedelta())  # type: ignore[arg-type]
        with pytest.raises(WaitTimedOut, match="port 9 does not hold; ports with a listener: 8080"):
            host.wait_for(port=9, log="never", timeout=0)

    def test_an_awaited_one_can_be_cancelled(self, ctr: DockerContainerHost) -> None:
        async def main() -> None:
            await ctr.aio.wait_for(command="true", timeout=50)
            for what in ({"command": "false"}, {"port": 9}, {"log": "never"}):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(ctr.aio.wait_for(**what, timeout=50), 0.5)

        asyncio.run(main())


class TestInVain:
    @pytest.mark.parametrize("what", [{"port": 80}, {"log": "never"}, {"command": "false"}, {"http": "/"}])
    def test_a_container_that_dies_first_is_an_error_at_once(
        self, start: Callable[..., DockerContainerHost], what: dict[str, object]
    ) -> None:
        host = start("echo starting; WAIT; echo 'no database' >&2; exit 3", *NETWORK)
        call = waiting(host, **what)
        go(host)
        with pytest.raises(
            ContainerNotRunning, match=r"it is exited with status 3; its last lines:\nstarting\nno data"
        ):
            call.result(within=40)

    def test_a_health_check_of_one_that_dies(self, start: Callable[..., DockerContainerHost]) -> None:
        host = start("echo x; WAIT; exit 4", "--health-cmd", "false", "--health-interval", "1s")
        call = waiting(host, healthy=True)
        go(host)
        with pytest.raises(ContainerNotRunning, match=r"exited with status 4"):
            call.result(within=40)
        with pytest.raises(ContainerNotRunning, match=r"exited with status 4"):
            host.wait_for(port=80, timeout=50)

    def test_one_that_is_removed(self, container: MakeContainer, container_host: MakeHost) -> None:
        made = container("busybox")
        call = waiting(container_host(made), port=80)
        made.remove()
        with pytest.raises((ContainerNotRunning, NoSuchContainer), match="no such container"):
            call.result(within=40)

    def test_one_that_docker_restarts_may_try_again(self, start: Callable[..., DockerContainerHost]) -> None:
        good = start("[ -e /seen ] || { : >/seen; exit 1; }; echo up; exec sleep 600", "--restart", "always")
        good.wait_for(log="up", timeout=50)
        bad = start("sleep 0.3; exit 5", "--restart", "always")
        with pytest.raises(ContainerNotRunning, match=r"restarted \d+ times"):
            bad.wait_for(log="up", timeout=50)

    def test_what_cannot_be_is_refused_at_once(self, ctr: DockerContainerHost) -> None:
        with pytest.raises(ConfigError, match="the container has no health check"):
            ctr.wait_for(healthy=True, timeout=50)
        with pytest.raises(ConnectError, match="its network is none"):
            ctr.wait_for(http="/", timeout=50)
        for what in (
            {},
            {"port": 0},
            {"http": "http://x/"},
            {"http": ":99999/"},
            {"log": "("},
            {"log": b"x"},
            {"command": 5},
            {"command": "true", "timeout": -1},
        ):
            with pytest.raises(ConfigError):
                ctr.wait_for(**what)  # type: ignore[arg-type]

    def test_closing_the_host_ends_it(self, ctr: DockerContainerHost) -> None:
        call = Call(lambda: ctr.wait_for(log="never", timeout=50))
        until(lambda: on_this_machine(f"--follow -- {ctr.container_id}"), 40, "it waits for the log")
        ctr.close()
        with pytest.raises(WaitTimedOut, match="the host was closed"):
            call.result(within=20)
