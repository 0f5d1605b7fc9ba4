"""What a command has started as another user is ended, or named."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync._sandbox.processes import pids
from tests.rig.account import Account
from tests.rig.containers import Container, arguments

from .helpers import Call, on_this_machine, running, until

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, UnixHost

MakeHost = Callable[..., "DockerContainerHost"]
MakeUnixHost = Callable[..., "UnixHost"]
ORPHAN = "su tester -s /bin/sh -c 'setsid sleep 9002 &'; sleep 9002"


@pytest.fixture
def sudoers(account: Account) -> Iterator[None]:
    """Let the account run anything as root."""
    entry = Path("/etc/sudoers.d") / f"{account.name.replace('.', '_')}_any"
    entry.write_text(f"{account.name} ALL=(ALL) NOPASSWD: ALL\n")
    entry.chmod(0o440)
    yield
    entry.unlink()


@pytest.fixture
def number(worker_id: str) -> Iterator[str]:
    """How long the `sleep` of a test lasts, by which its processes are found, and ended after the test."""
    made = f"9{os.getpid()}"
    yield made
    for pid in on_this_machine(f"sleep {made}"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not on_this_machine(f"sleep {made}"), 10, "the sleeps have ended")


@pytest.fixture
def setuid_container(container: Callable[..., Container]) -> Container:
    """A container where the user tester becomes root by the program ``root``."""
    made = container("bash")
    made.exec("cp", "/bin/setpriv", "/bin/root")
    made.exec("chmod", "4755", "/bin/root")
    return made


AS_ROOT = "root --reuid=0 --regid=0 --clear-groups"


@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_an_orphan_that_became_another_user_of_the_container_ends(
    verb: str, container_host: MakeHost, container: Callable[..., Container]
) -> None:
    made = container("busybox")
    host = container_host(made)
    host.run(":", timeout=20)
    result = getattr(host, verb)(ORPHAN, timeout=1.5)
    assert result.timed_out and "running" not in result.message, result
    until(lambda: not running(made, "9002"), 5, "all is gone")


def test_a_container_that_starts_meanwhile_is_not_taken_for_a_part_of_the_command(
    unix_host: UnixHost, container: Callable[..., Container], number: str
) -> None:
    call = Call(lambda: unix_host.oneshot(f"sleep {number}", timeout=5))
    until(lambda: on_this_machine(f"sleep {number}"), 5, "the command runs")
    container("busybox")
    message = call.result(within=30).message
    assert message.startswith("timed out") and "started by it" not in message


@pytest.mark.parametrize(
    "started", ["{} sleep 9002", "setsid {} sleep 9002 & sleep 9002", "{} setsid sleep 9002 & sleep 9002"]
)
@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_what_became_root_in_a_container_ends(
    verb: str, started: str, container_host: MakeHost, setuid_container: Container
) -> None:
    host = container_host(setuid_container, user="tester")
    assert host.run("KEPT=yes; id -u", timeout=20).output == "1000\n"
    result = getattr(host, verb)(started.format(AS_ROOT), timeout=1.5)
    assert result.timed_out and "running" not in result.message, result
    until(lambda: not running(setuid_container, "9002"), 5, "all is gone")
    assert host.run("echo $KEPT", timeout=20).output == "yes\n"


def test_closing_a_session_ends_what_became_root_in_its_container(
    container_host: MakeHost, setuid_container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    host = container_host(setuid_container, user="tester")
    for close in (host.open_session("default").close, host.close):
        host.run(f"setsid {AS_ROOT} sleep 9002 & {AS_ROOT} sleep 9002 &", timeout=20)
        until(lambda: len(running(setuid_container, "9002")) == 2, 20, "both run")
        close()
        assert running(setuid_container, "9002") == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def sleep_of_root(number: str) -> str:
    """A command with a `sleep` that only root may end. It is deaf to the Ctrl-C of a `run`, which sudo passes on.

    On Debian, sudo runs the program under a second sudo, on a terminal of its own. We may kill both, but not the
    program. If the second one sees the first one die before it is killed too, it ends the program: not the `sleep`,
    which is in a session of its own.
    """
    return f"sudo -n sh -c \"trap '' INT; setsid sleep {number} & wait\""


@pytest.mark.usefixtures("sudoers")
@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_a_process_of_root_that_a_login_may_not_end_is_named(
    verb: str, unix_host: UnixHost, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert unix_host.run("KEPT=yes", timeout=20).ok
    result = getattr(unix_host, verb)(sleep_of_root(number), timeout=4)
    assert result.timed_out
    assert "still running: process " in result.message, result.message
    assert f" of root (sleep {number}), which carrot does not let us end" in result.message, result.message
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and f"(sleep {number})" in warnings[0]
    pids = {str(pid) for pid in on_this_machine(f"sleep {number}")}
    assert pids and all(f"process {pid} " in result.message for pid in pids if pid in result.message)
    assert unix_host.run("echo $KEPT", timeout=20).output == "yes\n"


@pytest.mark.usefixtures("sudoers")
def test_closing_a_host_names_in_its_log_what_it_could_not_end(
    unix_host: UnixHost, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    unix_host.run(f"{sleep_of_root(number)} >/dev/null 2>&1 &", timeout=20)
    # The others have the same words among their arguments.
    until(lambda: [pid for pid in pids() if arguments(pid) == f"sleep {number}"], 20, "it runs")
    unix_host.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and f"of root (sleep {number})" in warnings[0], warnings


@pytest.mark.usefixtures("sudoers")
@pytest.mark.parametrize("verb", ["run", "oneshot"])
def test_where_docker_is_started_by_sudo_root_ends_it(verb: str, make_unix_host: MakeUnixHost, number: str) -> None:
    host = make_unix_host(docker_command=("sudo", "-n", "docker"))
    result = getattr(host, verb)(f"sudo -n sh -c \"trap '' INT TERM; sleep {number}; :\"", timeout=1.5)
    assert result.timed_out and "running" not in result.message, result
    until(lambda: not on_this_machine(f"sleep {number}"), 5, "it is gone")
    host.run(f"sudo -n sleep {number} >/dev/null 2>&1 &", timeout=20)
    until(lambda: on_this_machine(f"sleep {number}"), 20, "it runs")
    host.close()
    assert on_this_machine(f"sleep {number}") == []
