"""No shell without a lease: one that comes to life when its lease has ended does not stay."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otto_docker_sync._sandbox import Docker
from otto_docker_sync._shell.scripts import lease_check
from otto_docker_sync._shell.terminal import open_terminal
from otto_docker_sync.deadline import Deadline
from tests.rig.account import Account
from tests.rig.containers import Container

from .helpers import on_this_machine, until

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost

MakeHost = Callable[..., "DockerContainerHost"]


@pytest.mark.parametrize("verb", ["close", "rebuild_connections"])
def test_a_call_during_close_leaves_no_shell(ctr: DockerContainerHost, verb: str) -> None:
    def use(number: int) -> None:
        for _ in range(3):
            result = ctr.open_session(f"s{number}").run("echo on", timeout=60)
            assert result.output == "on\n" or result.message, result
            getattr(ctr, verb)()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert ctr.run("echo on", timeout=60).output == "on\n"


@pytest.mark.parametrize("then", ["close", "go on"])
def test_shells_live_on_without_their_warden_and_are_ended_by_another(
    container_host: MakeHost, shared_container: Callable[[str], Container], then: str
) -> None:
    container = shared_container("busybox")
    host, before = container_host(container), container.processes()
    assert host.run("KEPT=yes; sleep 1011 &", timeout=20).ok
    (warden,) = [pid for pid, text in container.processes().items() if "otto-warden" in text]
    os.kill(warden, signal.SIGKILL)
    if then == "go on":
        assert host.open_session("another").run("echo on", timeout=20).output == "on\n"
        assert host.run("echo $KEPT", timeout=20).output == "yes\n"
    host.close()
    until(lambda: set(container.processes()) <= set(before), 3, "nothing is left in the container")


@pytest.mark.parametrize("kind", ["busybox", "dash", "bash"])
@pytest.mark.parametrize("what", ["session", "interact"])
def test_a_shell_that_docker_starts_late_leaves_at_once(
    container_host: MakeHost, shared_container: Callable[[str], Container], docker: Docker, kind: str, what: str
) -> None:
    container = shared_container(kind)
    host = container_host(container)
    before = container.processes()

    def start_again() -> None:
        """Have docker do once more what it was asked for; the client is gone as soon as that runs."""
        docker("exec", "-dt", *asked[asked.index("-it") + 1 :])

    if what == "session":
        assert host.run("echo on", timeout=20).ok
        asked = asked_of_docker(container)
        start_again()
        until(lambda: len(container.processes()) == len(before) + 3, 5, "with a lease, it stays")
    else:
        with open_terminal(host.runner, "xterm", (80, 24), Deadline.after(20)) as channel:
            channel.read(Deadline.after(20))
            asked = asked_of_docker(container)
    host.close()
    until(lambda: set(container.processes()) <= set(before), 3, "nothing is left of the host")
    start_again()
    until(lambda: set(container.processes()) <= set(before), 1, "nor of what came later")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_a_shell_leaves_when_it_can_see_that_there_is_no_lease(account: Account, shell: str) -> None:
    def stays(warden: int) -> bool:
        argv = [*shell.split(), "-c", f"{lease_check(warden)}; echo on"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, user=account.uid, cwd="/").stdout
        assert said in ("on\n", f"no lease: its warden, process {warden}, is gone\n")
        return said == "on\n"

    holding = subprocess.Popen(["sh", "-c", "exec 9<&0; echo on; read x"], **piped(account))
    without = subprocess.Popen(["sh", "-c", "echo on; read x"], **piped(account))
    with holding, without:
        for process in (holding, without):
            assert process.stdout is not None
            process.stdout.readline()
        assert stays(holding.pid)
        assert not stays(without.pid)
        assert stays(os.getpid())  # that of another user, who does not show it
        for process in (holding, without):
            process.kill()
    assert not stays(holding.pid)


def piped(account: Account) -> dict[str, Any]:
    return {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "user": account.uid}


def asked_of_docker(container: Container) -> list[str]:
    """The words of the docker client, on this machine, that has a terminal in the container."""
    for pid in on_this_machine(container.id):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        if Path(words[0]).name == "docker" and "-it" in words:
            return words
    raise AssertionError("no docker client has a terminal in the container")
