"""Forwards to ports of machines and containers, and to a machine's docker socket, with real clients."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from otto_docker_sync import (
    ConfigError,
    ConnectError,
    ContainerNotRunning,
    DockerContainerHost,
    LocalHost,
    UnixHost,
    UnsupportedParentError,
)
from otto_docker_sync._sandbox import Docker, Sshd
from tests.faults.helpers import Call, until
from tests.rig.compose import Compose
from tests.rig.containers import Container
from tests.rig.proxy import Proxy
from tests.rig.rig import Rig

MakeHost = Callable[..., UnixHost]
MakeSshd = Callable[..., Sshd]
MakeContainer = Callable[..., Container]
ContainerHost = Callable[..., DockerContainerHost]

NETWORK = ("--network", "bridge")
HTTPD = ("sh", "-c", "mkdir /www; echo hello >/www/index.html; exec httpd -f -p 8080 -h /www")


class Handler(socketserver.BaseRequestHandler):
    """Reads to the end of the client's bytes, and answers with their digest: only a half-closed connection gets it."""

    def handle(self) -> None:
        digest = hashlib.sha256()
        while data := self.request.recv(65536):
            digest.update(data)
        self.request.sendall(digest.hexdigest().encode())


@contextmanager
def server(handler: type[socketserver.BaseRequestHandler] = Handler, path: str = "") -> Iterator[int]:
    """A server of this machine, on a loopback port, or on a unix socket."""
    kind: Any = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
    kind.request_queue_size = 128
    with kind(path or ("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield 0 if path else made.server_address[1]
        finally:
            made.shutdown()
            thread.join()


def ask(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(data)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # it was reset a moment ago: the read says so
                raise
        return b"".join(iter(lambda: sock.recv(65536), b""))


def fetch(url: str, timeout: float = 20) -> bytes:
    """A page, asked for until the server in the container has started."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                data: bytes = answer.read()
                return data
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("forward")]


class TestMachine:
    def test_both_directions_and_the_end_of_each(self, unix_host: UnixHost) -> None:
        data = os.urandom(3_000_000)
        with server() as port, unix_host.forward(port) as forward:
            assert forward.url == f"http://127.0.0.1:{forward.port}"
            assert ask(forward.port, data) == hashlib.sha256(data).hexdigest().encode()
            assert ask(forward.port, b"") == hashlib.sha256(b"").hexdigest().encode()
        with pytest.raises(ConnectionRefusedError):
            ask(forward.port, b"")
        assert threads() == []

    def test_a_client_that_sends_on_while_it_does_not_read(self, unix_host: UnixHost) -> None:
        echoed = [0]

        class Echo(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while data := self.request.recv(65536):
                    self.request.sendall(data)
                    echoed.append(echoed[-1] + len(data))

        def is_at_a_standstill() -> bool:
            before = echoed[-1]
            time.sleep(0.3)
            return 0 < before == echoed[-1]

        data = os.urandom(30_000_000)
        with (
            server(Echo) as port,
            unix_host.forward(port) as forward,
            socket.create_connection(("127.0.0.1", forward.port), 20) as sock,
        ):
            sending = Call(lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
            until(is_at_a_standstill, 20, "as much is on its way as there is room for")
            assert b"".join(iter(lambda: sock.recv(65536), b"")) == data
            sending.result(within=20)

    def test_a_hundred_at_once_are_equal_to_the_byte(self, unix_host: UnixHost) -> None:
        page = os.urandom(1 << 20)

        class Page(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(4096)
                self.request.sendall(page)

        def get(_: int) -> bool:
            with socket.create_connection(("127.0.0.1", forward.port), 40) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: sock.recv(1 << 20), b"")) == page

        with server(Page) as port, unix_host.forward(port) as forward, ThreadPoolExecutor(100) as pool:
            assert list(pool.map(get, range(100))) == [True] * 100
            assert unix_host.connections is not None
            assert unix_host.connections.describe()["connections"] == 1
            assert unix_host.connections.describe()["sessions"] == 0

    def test_a_local_port_of_ones_own_choice(self, unix_host: UnixHost) -> None:
        with server() as port, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            chosen = probe.getsockname()[1]
            with pytest.raises(ConfigError, match=f"carrot: to={chosen}: .*Address already in use"):
                unix_host.forward(port, to=chosen)
            probe.close()
            with unix_host.forward(port, to=chosen) as forward:
                assert forward.port == chosen
                assert ask(chosen, b"x") == hashlib.sha256(b"x").hexdigest().encode()

    def test_a_port_on_which_nobody_listens_yet(self, unix_host: UnixHost, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with unix_host.forward(port) as forward:
            with pytest.raises(ConnectionResetError), caplog.at_level(logging.WARNING, "otto_docker_sync"):
                ask(forward.port, b"x")
            assert f"forward of port {port}: carrot (127.0.0.1:" in caplog.text
            assert "Connection refused" in caplog.text

    def test_it_closes_with_its_host_and_stays_over_a_rebuild(self, unix_host: UnixHost) -> None:
        with server() as port:
            forward = unix_host.forward(port)
            assert ask(forward.port, b"x")
            unix_host.rebuild_connections()
            assert ask(forward.port, b"x")
            with socket.create_connection(("127.0.0.1", forward.port), 20) as waiting:
                waiting.sendall(b"x")
                unix_host.close()
                with suppress(ConnectionResetError):
                    assert waiting.recv(10) == b""
            assert forward.closed
            assert "closed" in repr(forward)
            forward.close()
            assert threads() == []

    def test_a_lost_link_closes_the_socket_and_leaves_no_thread(self, make_unix_host: MakeHost, proxy: Proxy) -> None:
        class Greeting(Handler):
            def handle(self) -> None:
                self.request.sendall(b"hello")
                super().handle()

        host = make_unix_host(port=proxy.port)
        with server(Greeting) as port, host.forward(port) as forward:
            with socket.create_connection(("127.0.0.1", forward.port), 20) as sock:
                assert sock.recv(10) == b"hello"
                proxy.drop()
                assert sock.recv(10) == b""
                deadline = time.monotonic() + 5
                while len(threads()) > 1:
                    assert time.monotonic() < deadline, threads()
                    time.sleep(0.01)
            assert ask(forward.port, b"x"), "the next connection uses a new link"

    def test_through_a_hop(self, make_unix_host: MakeHost) -> None:
        carrot = make_unix_host(hop=make_unix_host(id="gateway"))
        with server() as port, carrot.forward(port) as forward:
            assert ask(forward.port, b"x") == hashlib.sha256(b"x").hexdigest().encode()

    def test_a_port_of_another_host_that_the_machine_reaches(self, unix_host: UnixHost) -> None:
        with server() as port, unix_host.forward(port, address="127.0.0.1") as forward:
            assert ask(forward.port, b"x") == hashlib.sha256(b"x").hexdigest().encode()
        with pytest.raises(ConnectError, match=r"cannot connect to no-such-host.invalid:80"):
            unix_host.forward(80, address="no-such-host.invalid")

    def test_this_machine(self) -> None:
        with LocalHost() as here, server() as port, here.forward(port) as forward:
            assert ask(forward.port, b"x") == hashlib.sha256(b"x").hexdigest().encode()

    @pytest.mark.parametrize("port", [0, -1, 65536, True, "80", None])
    def test_a_port_that_is_not_valid(self, unix_host: UnixHost, port: Any) -> None:
        with pytest.raises(ConfigError, match=r"carrot: port=.*: pass a number"):
            unix_host.forward(port)

    def test_a_server_that_forbids_it(self, make_unix_host: MakeHost, make_sshd: MakeSshd) -> None:
        host = make_unix_host(make_sshd(AllowTcpForwarding="no"))
        with pytest.raises(ConnectError, match=r"forwarding is not allowed .*AllowTcpForwarding"):
            host.forward(80)
        with server() as port:
            host = make_unix_host(make_sshd(PermitOpen=f"localhost:{port}"))
            with host.forward(port) as forward:
                assert ask(forward.port, b"x") == hashlib.sha256(b"x").hexdigest().encode()
            with pytest.raises(ConnectError, match=r"forwarding is not allowed .*PermitOpen"):
                host.forward(port - 1)

    def test_a_time_that_is_over_is_an_error_of_ours(self) -> None:
        with (
            LocalHost(default_timeout=0) as here,
            pytest.raises(ConnectError, match=r"forward: port 80: timed out \(default_timeout\)"),
        ):
            here.forward(80)


class TestContainer:
    def test_a_web_server_whose_port_is_not_published(
        self, container: MakeContainer, container_host: ContainerHost
    ) -> None:
        web = container_host(container("busybox", *NETWORK, command=HTTPD))
        with web.forward(8080) as forward:
            assert fetch(forward.url) == b"hello\n"
            with ThreadPoolExecutor(20) as pool:
                assert set(pool.map(lambda _: fetch(forward.url), range(40))) == {b"hello\n"}

    def test_a_container_of_this_machine(
        self, container: MakeContainer, container_host: ContainerHost, docker: Docker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in docker.environ.items():
            monkeypatch.setenv(name, value)
        with LocalHost() as here:
            web = container_host(container("busybox", *NETWORK, command=HTTPD), parent=here)
            with web.forward(8080) as forward:
                assert fetch(forward.url) == b"hello\n"

    def test_a_container_that_was_recreated_is_found_again(
        self, container: MakeContainer, container_host: ContainerHost, unix_host: UnixHost
    ) -> None:
        labels = [
            f"--label=com.docker.compose.{key}"
            for key in ("project=shop", "service=api", "container-number=1", "oneoff=False")
        ]
        first = container("busybox", *NETWORK, *labels, command=HTTPD)
        host = container_host("", compose_project="shop", service="api")
        with host.forward(8080) as forward:
            assert fetch(forward.url) == b"hello\n"
            first.remove()
            other = container("busybox", *NETWORK)  # takes the old address
            again = ("sh", "-c", HTTPD[2].replace("hello", "again"))
            container("busybox", *NETWORK, *labels, command=again)
            time.sleep(1.1)
            assert fetch(forward.url) == b"again\n"
            assert other.inspect("{{.State.Running}}") == "true"

    def test_the_network_of_the_machine_and_that_of_another_container(
        self, container: MakeContainer, container_host: ContainerHost
    ) -> None:
        with server() as port:
            host = container_host(container("busybox", "--network=host"))
            with host.forward(port) as forward:
                assert ask(forward.port, b"x") == hashlib.sha256(b"x").hexdigest().encode()
        web = container("busybox", *NETWORK, command=HTTPD)
        beside = container_host(container("busybox", f"--network=container:{web.id}"))
        with beside.forward(8080) as forward:
            assert fetch(forward.url) == b"hello\n"

    def test_another_host_is_a_matter_of_the_parent(self, ctr: DockerContainerHost) -> None:
        with pytest.raises(UnsupportedParentError, match=r"forward that of db from its parent"):
            ctr.forward(5432, address="db")

    def test_where_there_is_no_way(self, container: MakeContainer, container_host: ContainerHost) -> None:
        with pytest.raises(ConnectError, match=r"carrot.repo1.api: the container has no address .*network is none"):
            container_host(container("busybox")).forward(80)
        stopped = container("busybox", *NETWORK)
        stopped.docker("kill", stopped.id)
        with pytest.raises(ContainerNotRunning, match=r"not running \(it is exited\)"):
            container_host(stopped).forward(80)

    def test_an_address_that_its_parent_cannot_reach(
        self, container: MakeContainer, container_host: ContainerHost
    ) -> None:
        """As with a rootless daemon, whose networks the parent has no part in."""
        made = container("busybox", *NETWORK, command=HTTPD)
        address = made.inspect("{{.NetworkSettings.Networks.bridge.IPAddress}}")
        subprocess.run(["ip", "route", "add", "unreachable", address], check=True)
        try:
            with pytest.raises(
                ConnectError,
                match=rf"carrot.repo1.api: carrot has no route to the container's address {address}, as with a rootless"
                r" daemon: publish the port, and forward that of carrot \(",
            ):
                container_host(made).forward(8080)
        finally:
            subprocess.run(["ip", "route", "del", "unreachable", address], check=True)

    def test_a_parent_whose_server_forbids_it(
        self, make_unix_host: MakeHost, make_sshd: MakeSshd, container: MakeContainer, container_host: ContainerHost
    ) -> None:
        web = container("busybox", *NETWORK, command=HTTPD)
        parent = make_unix_host(make_sshd(AllowTcpForwarding="no"))
        with pytest.raises(ConnectError, match=r"forwarding is not allowed .*AllowTcpForwarding") as refused:
            container_host(web, parent).forward(8080)
        assert "rootless" not in str(refused.value)

    def test_a_container_that_stops_while_it_is_forwarded(
        self, container: MakeContainer, container_host: ContainerHost, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = container("busybox", *NETWORK, command=HTTPD)
        with container_host(made).forward(8080) as forward:
            assert fetch(forward.url) == b"hello\n"
            made.docker("kill", made.id)
            time.sleep(1.1)
            with caplog.at_level(logging.WARNING, "otto_docker_sync"), pytest.raises(ConnectionResetError):
                ask(forward.port, b"x")
            assert "not running (it is exited)" in caplog.text


class TestSocket:
    def test_the_stock_docker_client_on_the_forwarded_socket(
        self, unix_host: UnixHost, docker: Docker, container: MakeContainer
    ) -> None:
        made = container("busybox", command=("sh", "-c", "echo from inside; sleep 1000"))
        remote = docker.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        with unix_host.forward_socket(remote) as forward:
            assert stat.S_IMODE(os.stat(forward.path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(os.path.dirname(forward.path)).st_mode) == 0o700
            environ = {**os.environ, "DOCKER_HOST": forward.docker_host}

            def client(*words: str, stdin: bytes = b"") -> bytes:
                return subprocess.run(
                    ["docker", *words], env=environ, input=stdin, check=True, capture_output=True, timeout=40
                ).stdout

            assert made.id[:12].encode() in client("ps", "-q")
            data = os.urandom(2_000_000)
            assert client("exec", "-i", made.id, "cat", stdin=data) == data
            assert client("logs", made.id) == b"from inside\n"
        assert not os.path.exists(os.path.dirname(forward.path))

    def test_docker_compose_and_testcontainers_on_the_forwarded_socket(
        self, unix_host: UnixHost, docker: Docker, rig: Rig, compose: Compose, tmp_path: Path
    ) -> None:
        assert compose.v1
        (tmp_path / "compose.yml").write_text(
            f"services:\n  web:\n    image: {rig.image('busybox')}\n    command: sleep 1000\n"
            "    network_mode: none\n    stop_signal: KILL\n"
        )
        (tmp_path / "program.py").write_text(
            "import sys\n"
            "from testcontainers.core.container import DockerContainer\n"
            "with DockerContainer(sys.argv[1], network_mode='none').with_command('sleep 1000') as container:\n"
            "    print(container.exec('echo from inside').output.decode())\n"
        )
        remote = docker.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        with unix_host.forward_socket(remote) as forward:
            environ = {
                **os.environ,
                "DOCKER_HOST": forward.docker_host,
                "DOCKER_CONFIG": str(rig.docker_config),
                "TESTCONTAINERS_RYUK_DISABLED": "true",  # it is an image to be pulled
            }

            def client(*words: str) -> str:
                return subprocess.run(
                    words, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True, timeout=100
                ).stdout

            stack = ("docker", "compose", "-p", rig.unique("forwarded"))
            client(*stack, "up", "-d")
            try:
                assert client(*stack, "exec", "-T", "web", "echo", "from inside") == "from inside\n"
            finally:
                client(*stack, "down")
            assert "from inside" in client(sys.executable, "program.py", rig.image("busybox"))

    def test_half_close_on_a_socket(self, make_unix_host: MakeHost, make_sshd: MakeSshd, tmp_path: Path) -> None:
        path = str(tmp_path / "s")
        host = make_unix_host(make_sshd(login="root"))
        with server(path=path), host.forward_socket(path) as forward, socket.socket(socket.AF_UNIX) as sock:
            sock.connect(forward.path)
            sock.sendall(b"x")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == hashlib.sha256(b"x").hexdigest().encode()

    def test_a_socket_that_is_not_there(self, unix_host: UnixHost) -> None:
        with pytest.raises(
            ConnectError, match=r"carrot .* cannot connect to /nonexistent/socket: open failed; is the socket there"
        ):
            unix_host.forward_socket("/nonexistent/socket")
        with pytest.raises(ConfigError, match="path='relative'"):
            unix_host.forward_socket("relative")

    def test_a_server_that_forbids_it(self, make_unix_host: MakeHost, make_sshd: MakeSshd) -> None:
        host = make_unix_host(make_sshd(AllowStreamLocalForwarding="no"))
        with pytest.raises(ConnectError, match=r"/var/run/docker.sock: .*AllowStreamLocalForwarding"):
            host.forward_socket("/var/run/docker.sock")


def test_telnet_cannot_forward() -> None:
    host = UnixHost("192.0.2.1", "me", term="telnet")
    with pytest.raises(UnsupportedParentError, match="no connection can be forwarded from here"):
        host.forward(80)
    with pytest.raises(UnsupportedParentError):
        host.forward_socket("/var/run/docker.sock")
