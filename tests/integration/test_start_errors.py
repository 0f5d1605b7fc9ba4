"""What keeps a shell from starting is named for what it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otto_docker_sync import ConnectError, DockerContainerHost, DockerUnavailable, Host, OttoError, UnixHost
from otto_docker_sync._docker.errors import docker_error
from tests.faults.helpers import Call
from tests.rig.account import Account
from tests.rig.containers import Container
from tests.rig.sshd import Sshd, with_pam_rules

MakeHost = Callable[..., DockerContainerHost]
SharedContainer = Callable[[str], Container]


@pytest.fixture
def without_session(make_sshd: Callable[..., Sshd], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """An sshd whose PAM lets everybody in, and opens no session."""
    rules = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_deny.so\n"
    with with_pam_rules(make_sshd(UsePAM="yes"), rules, tmp_path, monkeypatch) as made:
        yield made


def test_a_session_that_pam_refuses_after_the_login_is_named(
    without_session: Sshd,
    make_unix_host: Callable[..., UnixHost],
    container_host: MakeHost,
    shared_container: SharedContainer,
    tmp_path: Path,
) -> None:
    machine = make_unix_host(without_session)
    hosts: list[Host] = [machine, container_host(shared_container("busybox"), machine)]
    for host in hosts:
        for verb in (host.oneshot, host.run, lambda text, host=host: host.get(text, tmp_path)):
            with pytest.raises(ConnectError, match=r"carrot: the login was accepted, but PAM .* /etc/pam.d/sshd"):
                verb("/etc/hostname")


@pytest.fixture
def requiretty(account: Account) -> Iterator[None]:
    entry = Path("/etc/sudoers.d") / f"{account.name.replace('.', '_')}-tty"
    entry.write_text(
        f"Defaults:{account.name} requiretty\n{account.name} ALL=(root) NOPASSWD: {shutil.which('docker')}\n"
    )
    entry.chmod(0o440)
    yield
    entry.unlink()


@pytest.mark.usefixtures("requiretty")
def test_a_sudo_that_wants_a_terminal_is_named(
    make_unix_host: Callable[..., UnixHost], container_host: MakeHost, shared_container: SharedContainer
) -> None:
    host = container_host(shared_container("busybox"), make_unix_host(docker_command=("sudo", "-n", "docker")))
    for verb in (host.oneshot, host.run):
        with pytest.raises(DockerUnavailable, match=r"wants a terminal.*requiretty.*must have a tty"):
            verb("true")


def test_a_container_that_lost_its_proc_is_not_taken_for_one_without_a_shell(
    container: Callable[..., Container], container_host: MakeHost
) -> None:
    made = container("busybox")
    hide = ["nsenter", "--target", str(made.pid), "--mount", "mount", "-t", "tmpfs", "otto-test", "/proc"]
    subprocess.run(hide, check=True)
    host = container_host(made)
    for verb in (host.oneshot, host.run):
        with pytest.raises(DockerUnavailable, match=f"docker restart {made.id}.*open /proc/self/fd: no such file"):
            verb("true")


@pytest.mark.parametrize(
    "said",
    [
        "OCI runtime exec failed: exec failed: unable to start container process: error adding pid 4242 to cgroups: "
        "failed to write 4242: open /sys/fs/cgroup/docker/1f/cgroup.procs: no such file or directory: unknown",
        "OCI runtime exec failed: open /tmp/runc-process1234: no such file or directory: unknown",
    ],
)
def test_a_file_that_dockers_runtime_lacks_is_no_missing_shell(said: str) -> None:
    error = docker_error("web", "1f", "sh", said.encode(), 126, None, None)
    assert type(error) is DockerUnavailable and "docker restart 1f" in str(error) and said in str(error)


def test_a_shell_whose_start_another_thread_cuts_off_does_not_blame_docker(ctr: DockerContainerHost) -> None:
    def use() -> list[str]:
        said = []
        for number in range(6):
            try:
                said.append(ctr.open_session(str(number)).run("echo on", timeout=30).output)
            except OttoError as error:
                said.append(str(error))
        return said

    call = Call(use)
    while not call.done:
        ctr.close_sessions()
    assert all(text in ("", "on\n") or "another thread keeps closing this host" in text for text in call.result(1))
