"""The rig itself: its parts work, and the guard catches what outlives a test."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otto_docker_sync._sandbox import Docker
from tests.conftest import SHELL_KINDS
from tests.rig.account import Account
from tests.rig.compose import Compose
from tests.rig.containers import Container
from tests.rig.guard import Snapshot, Watched, leftovers
from tests.rig.proxy import Proxy
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

if TYPE_CHECKING:
    from otto_docker_sync import DockerContainerHost, UnixHost


def ssh(sshd: Sshd, command: str, port: int = 0) -> subprocess.CompletedProcess[str]:
    """OpenSSH's own client."""
    options = [f"UserKnownHostsFile={sshd.known_hosts}", f"HostKeyAlias=[{sshd.host}]:{sshd.port}", "BatchMode=yes"]
    return subprocess.run(
        [
            *("ssh", "-F", "none", "-p", str(port or sshd.port), "-i", str(sshd.identity_file)),
            *(part for option in options for part in ("-o", option)),
            *(f"{sshd.user}@{sshd.host}", command),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )


@pytest.mark.parametrize("kind", SHELL_KINDS)
def test_a_container_of_each_kind_has_its_shell(shared_container: Callable[[str], Container], kind: str) -> None:
    assert shared_container(kind).exec("sh", "-c", "echo $((6 * 7))") == "42"


def test_the_dash_image_has_no_other_tools(shared_container: Callable[[str], Container]) -> None:
    missing = "for tool in ps kill cat stty grep; do [ -e /bin/$tool ] && echo $tool; done; echo done"
    assert shared_container("dash").exec("sh", "-c", missing) == "done"


def test_the_noshell_image_has_no_shell(container: Callable[..., Container], docker: Docker) -> None:
    done = docker.run("exec", container("noshell").id, "sh", "-c", "echo hi")
    assert done.returncode in (126, 127)
    assert b"hi" not in done.stdout.split()


def test_an_ordinary_user_logs_in_and_may_use_docker(
    sshd: Sshd, account: Account, shared_container: Callable[[str], Container]
) -> None:
    container = shared_container("busybox")
    done = ssh(sshd, f"id -u; docker exec {container.id} echo from inside; env")
    uid, inside, *environ = done.stdout.splitlines()
    assert (int(uid), inside, done.stderr) == (account.uid, "from inside", "")
    assert f"HOME={sshd.home}" in environ


def test_an_sshd_of_the_tests_own_has_its_options(make_sshd: Callable[..., Sshd]) -> None:
    refused = ssh(make_sshd(AllowUsers="nobody"), "true")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_root_may_log_in_where_a_test_asks_for_it(make_sshd: Callable[..., Sshd]) -> None:
    assert ssh(make_sshd(login="root"), "id -u").stdout == "0\n"


def test_an_sshd_stops_with_its_logins_and_starts_again(make_sshd: Callable[..., Sshd]) -> None:
    sshd = make_sshd()
    client = subprocess.Popen(
        [
            *("ssh", "-F", "none", "-p", str(sshd.port), "-i", str(sshd.identity_file)),
            *("-o", f"UserKnownHostsFile={sshd.known_hosts}", f"{sshd.user}@{sshd.host}", "echo up; exec sleep 60"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        assert len(sshd.logins()) == 1
        sshd.stop()
        assert client.wait(10) == 255
    sshd.start()
    assert ssh(sshd, "echo again").stdout == "again\n"


def test_a_proxy_hands_on_and_stalls_and_drops(sshd: Sshd, proxy: Proxy) -> None:
    assert ssh(sshd, "head -c 1000000 /dev/zero | wc -c", proxy.port).stdout == "1000000\n"
    proxy.stall()
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.resume()
        client.settimeout(5)
        assert client.recv(100).startswith(b"SSH-2.0-")
        proxy.drop()
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_a_proxy_delays(proxy: Proxy) -> None:
    proxy.delay(0.3)
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(5)
        assert client.recv(100).startswith(b"SSH-2.0-")


def test_a_proxy_whose_delay_ends_lets_nothing_overtake() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Proxy(listener.getsockname()[1]) as proxy,
        socket.create_connection((proxy.host, proxy.port), 5) as client,
        listener.accept()[0] as target,
    ):
        proxy.delay(0.5)
        client.sendall(b"first ")
        while not proxy._waiting:
            time.sleep(0.01)
        proxy.delay(0)
        client.sendall(b"second")
        assert target.recv(12, socket.MSG_WAITALL) == b"first second"


def test_a_proxy_drops_after_so_many_bytes(proxy: Proxy) -> None:
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        assert client.recv(100).startswith(b"SSH-2.0-")
        proxy.drop_after(4)
        client.sendall(b"SSH-2.0-somebody\r\n")
        assert len(client.recv(4, socket.MSG_WAITALL)) == 4
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_proxy_that_ends_a_connection_goes_on_reading_from_the_client(proxy: Proxy) -> None:
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        assert client.recv(100).startswith(b"SSH-2.0-")
        proxy.drop_after(4, reset=False)
        client.sendall(b"SSH-2.0-somebody\r\n")
        ended = select.poll()
        ended.register(client, select.POLLRDHUP)
        assert ended.poll(5000)
        for _ in range(3):  # a closed socket answers the first with a reset, at which what is unread is lost
            client.sendall(b"too late")
        assert len(client.recv(100)) == 4
        assert client.recv(1) == b""


def test_a_proxy_refuses(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError), socket.create_connection((proxy.host, proxy.port), 5) as client:
        client.recv(1)
    proxy.accept()
    with socket.create_connection((proxy.host, proxy.port), 5) as client:
        assert client.recv(100).startswith(b"SSH-2.0-")


def test_telnetd_asks_for_a_login(telnetd: Telnetd) -> None:
    with socket.create_connection((telnetd.host, telnetd.port), 10) as client:
        seen = b""
        while b"login:" not in seen:
            seen += client.recv(1000)


def test_compose_has_both_versions_and_none(sshd: Sshd, compose: Compose) -> None:
    assert "v2." in ssh(sshd, "docker compose version").stdout
    assert "version 1." in ssh(sshd, f"PATH={compose.v1}:/usr/bin:/bin docker-compose version").stdout
    for directory in (compose.v1, compose.none):
        answer = ssh(sshd, f"PATH={directory}:/bin; docker compose version || docker ps --quiet")
        assert "v2." not in answer.stdout and answer.returncode == 0


def test_a_part_is_made_once_however_many_ask(rig: Rig) -> None:
    made = []

    def make() -> str:
        made.append(1)
        return "value"

    name = rig.unique(f"once-{rig.worker}")
    assert [rig.once(name, make), rig.once(name, make)] == ["value", "value"]
    assert len(made) == 1


class TestGuard:
    """`leftovers` names what a test left; the test itself then tidies up."""

    def names(self, before: Snapshot, watched: Watched, expected: str) -> bool:
        """Whether this, and soon nothing else, is left."""
        end = time.monotonic() + 10
        while True:
            left = leftovers(before, watched, patience=0)
            if len(left) == 1 and re.fullmatch(expected, left[0]):
                return True
            assert time.monotonic() < end, left
            time.sleep(0.02)  # a client, or the program that becomes the expected one, is on its way out

    def test_a_thread(self, watched: Watched) -> None:
        before = Snapshot.take(watched)
        go = threading.Event()
        thread = threading.Thread(target=go.wait, name="leaked")
        thread.start()
        assert self.names(before, watched, r"thread: leaked \(\d+\)")
        go.set()
        thread.join()
        assert leftovers(before, watched) == []

    def test_a_file_descriptor(self, watched: Watched) -> None:
        before = Snapshot.take(watched)
        with open(os.devnull) as file:
            assert self.names(before, watched, f"file descriptor: {file.fileno()} -> /dev/null")

    def test_a_process_in_a_shared_container(
        self, watched: Watched, shared_container: Callable[[str], Container]
    ) -> None:
        container = shared_container("busybox")
        before = Snapshot.take(watched)
        container.docker("exec", "--detach", container.id, "sleep", "4321")
        assert self.names(before, watched, r"process in a container: \d+ sleep 4321")
        (pid,) = container.processes()
        os.kill(pid, signal.SIGKILL)
        assert leftovers(before, watched) == []

    def test_a_zombie_counts_as_gone(self, watched: Watched, shared_container: Callable[[str], Container]) -> None:
        container = shared_container("busybox")
        before = Snapshot.take(watched)
        container.exec("sh", "-c", "sleep 0.1 & exec true")  # then a child of the first process, which collects none
        assert leftovers(before, watched) == []
        assert " Z " in container.exec("sh", "-c", "cat /proc/[0-9]*/stat")

    def test_a_process_of_the_parents_user(self, watched: Watched, sshd: Sshd) -> None:
        before = Snapshot.take(watched)
        assert ssh(sshd, "sleep 4322 >/dev/null 2>&1 </dev/null & echo started").stdout == "started\n"
        assert self.names(before, watched, r"process of the parent's user: \d+ sleep 4322")
        ssh(sshd, "pkill -f 'sleep 432[2]'")
        assert leftovers(before, watched) == []

    def test_a_temporary_file_of_the_parents_user(self, watched: Watched, sshd: Sshd) -> None:
        before = Snapshot.take(watched)
        path = ssh(sshd, "mktemp -d /tmp/otto-docker.XXXXXX").stdout.strip()
        assert self.names(before, watched, f"temporary file: {path}")
        ssh(sshd, f"rmdir {path}")

    def test_a_temporary_file_of_ours(self, watched: Watched) -> None:
        before = Snapshot.take(watched)
        path = Path(tempfile.mkdtemp())
        assert self.names(before, watched, f"temporary file: {path}")
        path.rmdir()

    def test_what_is_on_its_way_out_may_go(self, watched: Watched) -> None:
        before = Snapshot.take(watched)
        thread = threading.Timer(0.1, int)
        thread.start()
        assert leftovers(before, watched) == []


def test_the_hosts_are_ready_to_use(unix_host: UnixHost, shell_ctr: DockerContainerHost, account: Account) -> None:
    assert unix_host.oneshot("id -u", timeout=20).check().output == f"{account.uid}\n"
    assert shell_ctr.oneshot("echo $((6 * 7))", timeout=20).check().output == "42\n"
    assert shell_ctr.run("echo $((6 * 7))", timeout=20).check().output == "42\n"
