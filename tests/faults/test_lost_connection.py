"""The connection dies under calls: they report it with what arrived, and the next call connects anew, once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync._sandbox.processes import with_descendants
from otto_docker_sync.errors import ForkError, OttoError
from otto_docker_sync.limits import ONESHOT_OVERTIME
from tests.rig.containers import Container, arguments
from tests.rig.proxy import Proxy
from tests.rig.sshd import Sshd

from .helpers import Call, running, until

if TYPE_CHECKING:
    from otto_docker_sync import CommandResult, DockerContainerHost, UnixHost

MakeHost = Callable[..., "DockerContainerHost"]
MakeUnixHost = Callable[..., "UnixHost"]
BlackHole = Callable[..., AbstractContextManager[None]]

LONG = "echo partial; sleep 9002"
LIVENESS = 0.4
"""Seconds of silence after which the far end is asked for a sign of life; it is dead after three times that."""


@pytest.fixture
def busybox(shared_container: Callable[[str], Container]) -> Container:
    return shared_container("busybox")


@pytest.fixture
def through_proxy(
    make_unix_host: MakeUnixHost, container_host: MakeHost, proxy: Proxy, busybox: Container
) -> DockerContainerHost:
    """The ordinary container, by way of the proxy, with a short liveness."""
    return container_host(busybox, make_unix_host(port=proxy.port, ssh={"keepalive_interval": LIVENESS}))


def in_flight(host: DockerContainerHost, container: Container) -> list[Call[CommandResult]]:
    """A run and a oneshot that have begun and will take long."""
    seen: list[str] = []
    calls = [
        Call(lambda: host.run(LONG, on_output=seen.append)),
        Call(lambda: host.oneshot(LONG, on_output=seen.append)),
    ]
    until(lambda: len(running(container, "sleep 9002")) == len(seen) == 2, 10, "both run, and have said so")
    return calls


def assert_lost(calls: list[Call[CommandResult]], container: Container, within: float) -> None:
    for call in calls:
        result = call.result(within)
        assert (result.output, result.retcode, result.timed_out) == ("partial\n", None, False), result
        assert "outcome is unknown" in result.message, result
    until(lambda: not running(container, "9002"), 3, "the commands are gone from the container")


def assert_usable(host: DockerContainerHost) -> None:
    result = host.run("echo ok", timeout=10)
    assert (result.output, result.new_session) == ("ok\n", True), result
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"


def kill_login(sshd: Sshd) -> None:
    """Kill what serves each connection, as a crash of the server would."""
    for pid in with_descendants(sshd.logins()):
        if arguments(pid).startswith("sshd"):
            os.kill(pid, signal.SIGKILL)


def iptables(action: str, *rule: str) -> None:
    command = ["iptables", "--wait", action, "INPUT", "-i", "lo", "-p", "tcp", *rule, "-j", "DROP"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"iptables cannot drop packets on this machine: {done.stderr.strip()}", pytrace=False)


@pytest.fixture
def black_hole() -> BlackHole:
    """Drop every packet to a port of this machine, or those of some connections, as a broken network does.

    >>> with black_hole(sshd.port):
    ...     host.oneshot("echo nobody hears this", timeout=1)
    """

    @contextmanager
    def drop_packets(port: int, source: str = "0:65535") -> Iterator[None]:
        rule = ("--dport", str(port), "--sport", source)
        iptables("-I", *rule)
        try:
            yield
        finally:
            iptables("-D", *rule)

    return drop_packets


def test_the_servers_process_is_killed(
    through_proxy: DockerContainerHost, busybox: Container, sshd: Sshd, proxy: Proxy
) -> None:
    calls = in_flight(through_proxy, busybox)
    kill_login(sshd)
    assert_lost(calls, busybox, 5)
    before = proxy.connections
    again = [Call(lambda: through_proxy.oneshot("echo ok", timeout=10)) for _ in range(8)]
    assert [call.result(15).stdout for call in again] == ["ok\n"] * 8
    assert proxy.connections == before + 1
    assert_usable(through_proxy)


def test_the_connection_is_reset(through_proxy: DockerContainerHost, busybox: Container, proxy: Proxy) -> None:
    calls = in_flight(through_proxy, busybox)
    proxy.drop()
    assert_lost(calls, busybox, 5)
    assert_usable(through_proxy)


def test_a_path_that_stalls_but_acknowledges_is_noticed_without_any_timeout(
    through_proxy: DockerContainerHost, busybox: Container, proxy: Proxy
) -> None:
    calls = in_flight(through_proxy, busybox)
    proxy.stall()
    for call in calls:
        result = call.result(4 * LIVENESS + 4)
        assert (result.output, result.retcode) == ("partial\n", None), result
    proxy.resume()
    until(lambda: not running(busybox, "9002"), 3, "the commands are gone from the container")
    assert_usable(through_proxy)


def test_a_network_that_drops_everything_is_noticed_without_any_timeout(
    make_unix_host: MakeUnixHost,
    container_host: MakeHost,
    make_sshd: Callable[..., Sshd],
    busybox: Container,
    black_hole: BlackHole,
) -> None:
    sshd = make_sshd(ClientAliveInterval="1", ClientAliveCountMax="2")
    host = container_host(busybox, make_unix_host(sshd, ssh={"keepalive_interval": LIVENESS}))
    calls = in_flight(host, busybox)
    with black_hole(sshd.port):
        for call in calls:
            result = call.result(4 * LIVENESS + 4)
            assert (result.output, result.retcode) == ("partial\n", None), result
        kill_login(sshd)
    until(lambda: not running(busybox, "9002"), 3, "the commands are gone from the container")
    assert_usable(host)


def test_what_only_the_server_takes_for_connected_ends_with_the_next_shell(
    make_unix_host: MakeUnixHost,
    container_host: MakeHost,
    make_sshd: Callable[..., Sshd],
    busybox: Container,
    black_hole: BlackHole,
) -> None:
    sshd = make_sshd()
    host = container_host(busybox, make_unix_host(sshd, ssh={"keepalive_interval": LIVENESS}))
    source = host.parent.oneshot("echo $SSH_CONNECTION", timeout=10).stdout.split()[1]
    call = Call(lambda: host.run(LONG))
    until(lambda: running(busybox, "sleep 9002"), 10, "it runs")
    with black_hole(sshd.port, source):
        result = call.result(4 * LIVENESS + 4)
        assert (result.output, result.retcode) == ("partial\n", None), result
        assert running(busybox, "sleep 9002")
        assert_usable(host)
        until(lambda: not running(busybox, "9002"), 2, "the command is gone from the container")
        kill_login(sshd)


def test_on_a_stalled_path_timeouts_are_held_and_closing_is_quick(
    make_unix_host: MakeUnixHost, container_host: MakeHost, proxy: Proxy, busybox: Container
) -> None:
    host = container_host(busybox, make_unix_host(port=proxy.port))  # its liveness is 45 s
    assert host.run("echo ok", timeout=10).ok
    proxy.stall()
    began = time.monotonic()
    assert host.oneshot("echo ok", timeout=0.5).timed_out
    assert time.monotonic() - began < 0.5 + ONESHOT_OVERTIME + 1
    began = time.monotonic()
    assert host.run("echo ok", timeout=0.5).timed_out
    assert time.monotonic() - began < 0.5 + 7
    began = time.monotonic()
    host.close()
    host.parent.close()
    host.close()
    assert time.monotonic() - began < 5
    proxy.resume()
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"


@pytest.mark.parametrize("size", [100, 5000, 300_000])
def test_output_that_was_cut_off_is_no_success(
    through_proxy: DockerContainerHost, busybox: Container, proxy: Proxy, size: int
) -> None:
    assert through_proxy.run(":", timeout=10).ok
    whole = busybox.exec("seq", "100000")
    proxy.drop_after(size)
    result = through_proxy.run("seq 100000", timeout=20)
    assert result.retcode is None and "unknown" in result.message, result.message
    assert whole.startswith(result.output.removesuffix("\r")) and len(result.output) < size
    assert_usable(through_proxy)
    proxy.drop_after(size)
    single = through_proxy.oneshot("seq 100000", timeout=20)
    if single.retcode is None:
        assert whole.startswith(single.output)
    else:  # it was cut off before it had begun, and was begun on another connection
        assert single.ok and single.output.strip() == whole


@pytest.mark.parametrize("verb", ["close", "rebuild_connections"])
def test_calls_in_flight_end_when_their_host_is_closed_or_rebuilt(
    ctr: DockerContainerHost, busybox: Container, verb: str
) -> None:
    calls = in_flight(ctr, busybox)
    began = time.monotonic()
    getattr(ctr, verb)()
    assert time.monotonic() - began < 5
    for call in calls:
        result = call.result(2)
        assert (result.output, result.retcode, result.timed_out) == ("partial\n", None, False), result
        assert result.message, result
    until(lambda: not running(busybox, "9002"), 2, "the commands are gone from the container")
    getattr(ctr, verb)()
    assert_usable(ctr)


def test_rebuilding_the_parent_moves_the_container_to_its_new_connection(
    through_proxy: DockerContainerHost, busybox: Container, proxy: Proxy
) -> None:
    calls = in_flight(through_proxy, busybox)
    before = proxy.connections
    through_proxy.parent.rebuild_connections()
    for call in calls:
        assert call.result(5).retcode is None
    through_proxy.rebuild_connections()
    assert proxy.connections == before
    until(lambda: not running(busybox, "9002"), 3, "the commands are gone from the container")
    assert_usable(through_proxy)
    assert proxy.connections == before + 1


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_an_interrupt_from_the_keyboard_leaves_a_host_that_works(
    ctr: DockerContainerHost, busybox: Container, verb: str
) -> None:
    assert ctr.run("KEPT=yes", timeout=10).ok

    def press() -> None:
        until(lambda: running(busybox, "9002"), 10, "the command runs")
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        getattr(ctr, verb)("echo OLD; sleep 9002; echo OLD")
    presser.join()
    result = ctr.run("echo $KEPT", timeout=10)
    assert (result.output, result.new_session) == ("yes\n", False)
    until(lambda: not running(busybox, "9002"), 2, "the command is gone from the container")


def test_cancelling_an_await_ends_the_command_and_keeps_the_session(
    ctr: DockerContainerHost, busybox: Container
) -> None:
    async def main() -> None:
        await ctr.aio.run("KEPT=yes", timeout=10)
        for verb in (ctr.aio.run, ctr.aio.oneshot):
            task = asyncio.create_task(verb("echo OLD; sleep 9002; echo OLD"))
            while not running(busybox, "9002"):
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            result = await ctr.aio.run("echo $KEPT", timeout=10)
            assert (result.output, result.new_session) == ("yes\n", False)

    asyncio.run(main())
    until(lambda: not running(busybox, "9002"), 2, "the command is gone from the container")


def test_a_forked_child_is_refused_and_the_parents_connection_lives_on(ctr: DockerContainerHost) -> None:
    assert ctr.run("KEPT=yes", timeout=10).ok
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forking with threads is risky is the point
        child = os.fork()
    if not child:
        said = b"nothing"
        try:
            for call in (ctr.oneshot, ctr.run):
                try:
                    call("echo child", timeout=5)
                    said = b"it ran"
                    break
                except ForkError:
                    said = b"ForkError"
            ctr.close()
            ctr.parent.close()
        except BaseException as error:
            said = repr(error).encode()
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"ForkError"
    os.waitpid(child, 0)
    result = ctr.run("echo $KEPT", timeout=10)
    assert (result.output, result.new_session) == ("yes\n", False)


def test_a_server_that_is_away_is_an_error_and_comes_back(
    make_unix_host: MakeUnixHost, container_host: MakeHost, make_sshd: Callable[..., Sshd], busybox: Container
) -> None:
    sshd = make_sshd()
    host = container_host(busybox, make_unix_host(sshd))
    assert host.run("echo ok", timeout=10).ok
    sshd.stop()
    with pytest.raises((OttoError, ConnectionError)):
        host.run("echo ok", timeout=10).check()
    with pytest.raises(OttoError):
        host.oneshot("echo ok", timeout=10)
    sshd.start()
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"
    assert host.run("echo ok", timeout=10).output == "ok\n"
