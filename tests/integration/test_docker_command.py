"""Other ways to start the docker client: through sudo, and podman in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from otto_docker_sync import (
    ConfigError,
    ContainerNotRunning,
    DockerContainerHost,
    DockerUnavailable,
    NoSuchContainer,
    UnixHost,
    WaitTimedOut,
)
from otto_docker_sync._docker import Evidence
from otto_docker_sync._sandbox import Docker
from tests.faults.helpers import on_this_machine, until
from tests.rig.account import Account
from tests.rig.containers import Container, arguments
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

SUDO = ("sudo", "-n", "docker")
RELAY = """
import os, pty, sys
if "-it" in sys.argv:
    pty.spawn(["docker", *sys.argv[1:]])
else:
    os.execvp("docker", ["docker", *sys.argv[1:]])
"""
"""Gives the client a terminal between ours and its own, and does not hand on its size."""


def exercise(host: DockerContainerHost, tmp_path: Path) -> None:
    """Every way in which the library calls the client."""
    assert host.is_running()
    assert host.mounts() == []
    result = host.oneshot("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.retcode) == ("out\n", "err\n", 3)
    late = host.oneshot("echo begun; sleep 1000", timeout=1.0)
    assert (late.output, late.timed_out) == ("begun\n", True)
    assert host.run("cd /tmp && x=1; stty size").output == "50 200\n"
    assert host.run("pwd; echo $x").output == "/tmp\n1\n"
    data = os.urandom(100_000)
    (tmp_path / "data").write_bytes(data)
    host.put(tmp_path / "data", "/tmp").check()
    assert host.oneshot(["cat", "/tmp/data"]).output_bytes == data
    host.get("/tmp/data", tmp_path / "back").check()
    assert (tmp_path / "back" / "data").read_bytes() == data
    exercise_start(host)


def exercise_start(host: DockerContainerHost) -> None:
    """Commands in the background: stopped, killed, waited for in vain, ended with their host; none stays."""
    server = host.start("read -r x; echo $x; exec sleep 9018")
    server.send("given\n")
    server.wait_for("given\n", timeout=20)
    with pytest.raises(WaitTimedOut):
        server.wait(timeout=0.1)
    assert server.stop(grace=20).retcode == 143
    deaf = host.start("trap '' TERM; echo begun; while :; do sleep 9018; done")
    deaf.wait_for("begun", timeout=20)
    assert deaf.stop(grace=0.2).retcode == 137
    left = host.start("echo begun; setsid sleep 9018 & sleep 9018")
    left.wait_for("begun", timeout=20)
    host.close()
    assert left.wait(timeout=20).retcode is None
    until(lambda: not on_this_machine("sleep 9018"), 20, "no command is left")


CLIENT = """
import sys
from otto_docker_sync import SSHOptions, UnixHost

host, port, user, key, known_hosts, container, *docker = sys.argv[1:]
ssh = SSHOptions(identity_file=key, known_hosts=known_hosts)
parent = UnixHost(host, user, id="carrot", port=int(port), docker_command=tuple(docker), ssh=ssh)
process = parent.container(container).start("trap '' TERM INT; (setsid sleep 9019 &); echo begun; sleep 9019")
process.wait_for("begun", timeout=20)
print("ready", flush=True)
sys.stdin.read()
"""


def kill_a_client(sshd: Sshd, container_id: str, *docker: str) -> None:
    """Kill a program that has started a command in a container: the command and the docker client go."""
    login = [sshd.host, str(sshd.port), sshd.user, str(sshd.identity_file), str(sshd.known_hosts)]
    command = [sys.executable, "-c", CLIENT, *login, container_id, *docker]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "ready\n"
            assert on_this_machine("sleep 9019")
        finally:
            client.kill()
    until(lambda: not on_this_machine("sleep 9019"), 20, "no command is left")
    def clients() -> list[int]:
        return [pid for pid in on_this_machine(container_id) if " exec " in arguments(pid)]

    until(lambda: not clients(), 20, "no client is left")


@pytest.fixture
def sudoers(account: Account) -> Iterator[None]:
    entry = Path("/etc/sudoers.d") / account.name.replace(".", "_")
    entry.write_text(
        f'Defaults:{account.name} env_keep += "DOCKER_HOST DOCKER_CONFIG"\n'
        f"{account.name} ALL=(root) NOPASSWD: {shutil.which('docker')}\n"
    )
    entry.chmod(0o440)
    yield
    entry.unlink()


def test_a_terminal_has_its_size_also_where_the_client_is_not_told(
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(docker_command=("python3", "-c", RELAY)))
    assert host.run("stty size", timeout=20).output == "50 200\n"


@pytest.mark.usefixtures("sudoers")
def test_sudo(
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    container: Callable[..., Container],
    sshd: Sshd,
    tmp_path: Path,
) -> None:
    parent = make_unix_host(docker_command=SUDO)
    (tmp_path / "back").mkdir()
    made = container("busybox")
    host = container_host(made, parent)
    exercise(host, tmp_path)
    assert host.oneshot("echo 'hello there' >/proc/1/fd/1")
    followed = host.logs(follow=True)
    assert next(followed) == "hello there"
    followed.close()
    until(lambda: not on_this_machine(f"--follow -- {made.id}"), 10, "no client is left")
    kill_a_client(sshd, made.id, *SUDO)


def test_sudo_that_asks_for_a_password(
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(docker_command=SUDO))
    for verb in (host.oneshot, host.run):
        with pytest.raises(DockerUnavailable, match="NOPASSWD"):
            verb("true")
    with pytest.raises(DockerUnavailable, match="NOPASSWD"):
        host.is_running()


def test_a_directory_of_the_image_that_is_gone(
    container_host: Callable[..., DockerContainerHost], container: Callable[..., Container]
) -> None:
    host = container_host(container("busybox", "--workdir", "/work"))
    host.oneshot("rmdir /work", check=True)
    with pytest.raises(ConfigError, match=r"no directory '/work'.*workdir=, such as '/'"):
        host.oneshot("true")


def test_a_client_that_is_not_there(
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    shared_container: Callable[[str], Container],
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(docker_command=("no-such-client",)))
    for verb in (host.oneshot, host.run):
        with pytest.raises(DockerUnavailable, match="docker_command"):
            verb("true")


@pytest.fixture
def podman_container(rig: Rig, docker: Docker, tmp_path: Path) -> Iterator[str]:
    """A busybox container that podman runs as root."""

    def podman(*argv: str) -> str:
        return subprocess.run(["podman", *argv], check=True, capture_output=True, text=True).stdout.strip()

    archive, tag = tmp_path / "image.tar", rig.image("busybox")
    docker("save", "--output", str(archive), tag)
    loaded = podman("load", "--input", str(archive)).rpartition("Loaded image: ")[2]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
    made = podman("--runtime", "runc", "run", "--detach", "--network", "none", *limits, loaded, "sleep", "1000000")
    yield made
    podman("rm", "--force", "--time", "0", made)
    podman("rmi", loaded)


def test_podman(
    make_sshd: Callable[..., Sshd],
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    podman_container: str,
    tmp_path: Path,
) -> None:
    sshd = make_sshd(login="root")
    parent = make_unix_host(sshd, docker_command=("podman",))
    (tmp_path / "back").mkdir()
    exercise(container_host(podman_container, parent), tmp_path)
    host = container_host(podman_container, parent)
    assert host.oneshot("echo 'hello there' >/proc/1/fd/1")
    until(lambda: host.logs(tail=1, since=600.0) == ["hello there"], 20, "the line")
    assert host.logs(since=datetime.now(timezone.utc)) == []
    evidence = Evidence()
    evidence.start()
    assert host.oneshot("true")
    ((_, text),) = evidence.collect()
    evidence.stop()
    assert "It is running." in text and "Its processes:" in text
    with pytest.raises(NoSuchContainer):
        container_host("nosuch", parent, service="other").oneshot("true")
    kill_a_client(sshd, podman_container, "podman")


def test_podman_that_paused_a_container(
    make_sshd: Callable[..., object],
    make_unix_host: Callable[..., UnixHost],
    container_host: Callable[..., DockerContainerHost],
    podman_container: str,
) -> None:
    parent = make_unix_host(make_sshd(login="root"), docker_command=("podman",))
    subprocess.run(["podman", "pause", podman_container], check=True, capture_output=True)
    try:
        with pytest.raises(ContainerNotRunning, match=f"is paused; podman unpause {podman_container}"):
            container_host(podman_container, parent).oneshot("true")
    finally:
        subprocess.run(["podman", "unpause", podman_container], check=True, capture_output=True)
