"""The docker daemon dies and comes back: what was in flight says so, and a call says what is wrong until it is well."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync._sandbox import Docker, Workspace, import_busybox, temporary_workspace
from otto_docker_sync._sandbox.dockerd import private_docker
from otto_docker_sync._sandbox.processes import alive, start_daemon, stop_daemon, wait_ready
from otto_docker_sync.errors import ContainerNotRunning, DockerUnavailable
from tests.rig.containers import Container
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

from .helpers import Call, running, until

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, UnixHost


class Daemon:
    """A docker daemon that no other test uses."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.docker: Docker = private_docker(workspace)
        self._base = workspace.path / "dockerd"
        self._command = [part.decode() for part in self._proc("cmdline").split(b"\0")[:-1]]
        environ = (part.decode().partition("=") for part in self._proc("environ").split(b"\0")[:-1])
        self._environ = {name: value for name, _, value in environ}

    @property
    def pid(self) -> int:
        return int((self._base / "dockerd.pid").read_text())

    def _proc(self, name: str) -> bytes:
        return Path(f"/proc/{self.pid}/{name}").read_bytes()

    def stop(self, how: signal.Signals) -> None:
        pid = self.pid
        if how == signal.SIGKILL:
            os.kill(pid, how)
            until(lambda: not alive(pid), 10, "the daemon is dead")
            (self._base / "dockerd.pid").unlink()
        else:
            stop_daemon(pid)

    def start(self) -> None:
        log = self._base / "dockerd.log"
        pid = start_daemon(self._command, log, self._environ)
        wait_ready("dockerd", pid, self.docker.answers, log)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with temporary_workspace() as workspace:
        yield Daemon(workspace)


@pytest.fixture(scope="module")
def image(daemon: Daemon) -> str:
    return import_busybox(daemon.docker, daemon.workspace)


@pytest.fixture
def made(daemon: Daemon, image: str) -> Iterator[Container]:
    container = Container(
        daemon.docker, daemon.docker("run", "--detach", "--network", "none", "--stop-signal", "KILL", image), "busybox"
    )
    yield container
    container.remove()


@pytest.fixture
def host(
    daemon: Daemon,
    made: Container,
    rig: Rig,
    make_sshd: Callable[..., Sshd],
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
) -> DockerContainerHost:
    environ = " ".join(f"{name}={value}" for name, value in {**rig.environ, **daemon.docker.environ}.items())
    parent = make_unix_host(make_sshd(SetEnv=f"{environ} PATH=/usr/local/bin:/usr/bin:/bin"))
    return container_host(made, parent)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_daemon_that_goes_and_comes_back(
    daemon: Daemon, made: Container, host: DockerContainerHost, how: signal.Signals
) -> None:
    command = "echo partial; sleep 9005"
    calls = [Call(lambda: host.run(command)), Call(lambda: host.oneshot(command))]
    until(lambda: len(running(made, "sleep 9005")) == 2, 10, "both run")
    daemon.stop(how)
    for call in calls:
        result = call.result(20)
        assert (result.output, result.retcode) == ("partial\n", None), result
        assert result.message, result
    for verb in (host.run, host.oneshot):
        with pytest.raises(DockerUnavailable):
            verb("echo ok", timeout=10)
    with pytest.raises(DockerUnavailable):
        host.is_running()
    daemon.start()
    if not host.is_running():
        with pytest.raises(ContainerNotRunning):
            host.oneshot("echo ok", timeout=10)
        daemon.docker("start", made.id)
    assert host.oneshot("echo ok", timeout=10).stdout == "ok\n"
    result = host.run("echo ok", timeout=10)
    assert (result.output, result.new_session) == ("ok\n", True)
