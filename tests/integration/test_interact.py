"""interact() on hosts: a real terminal here, real shells there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.helpers import until
from tests.rig.containers import Container
from tests.rig.proxy import Proxy
from tests.rig.pty_user import PtyUser
from tests.rig.sshd import Sshd
from tests.rig.telnetd import Telnetd

PROGRAM = """
import json, os, sys, termios, threading
from otto_docker_sync import DockerContainerHost, LocalHost, SSHOptions, UnixHost
spec = json.loads(sys.argv[1])
host = LocalHost()
for arguments in spec["machines"]:
    ssh = SSHOptions(**arguments.pop("ssh", {}))
    hop = host if isinstance(host, UnixHost) else None
    host = UnixHost(arguments.pop("host"), hop=hop, ssh=ssh, **arguments)
if spec.get("container"):
    host = DockerContainerHost(host, spec["container"], "repo1", "api", "")
def modes():
    return termios.tcgetattr(0) if os.isatty(0) else None
def elsewhere():
    print("RUN", host.run("sleep 0.3; echo $((6*7))").output, flush=True)
before = modes()
worker = threading.Thread(target=elsewhere)
if spec.get("run"):
    worker.start()
print("BEFORE", flush=True)
status = error = None
try:
    status = host.interact()
except BaseException as raised:
    error = type(raised).__name__
same = modes() == before
if spec.get("run"):
    worker.join()
host.close()
print(f"\\nAFTER status={status} error={error} same={same}", flush=True)
"""

UNTIL_RESIZED = "until stty size | grep '^30 '; do sleep 0.1; done; echo resized to $(stty size)\r"
"""Typed after a resize, because docker passes the new size on after the keys that follow it, if it is busy."""

Start = Callable[..., PtyUser]


@pytest.fixture
def spec(sshd: Sshd, request: pytest.FixtureRequest) -> Callable[..., str]:
    def ssh(port: int) -> dict[str, Any]:
        options = {"identity_file": str(sshd.identity_file), "known_hosts": str(sshd.known_hosts)}
        return {"host": sshd.host, "user": sshd.user, "port": port, "ssh": options}

    def make(kind: str, *, container: Container | None = None, port: int = sshd.port, **more: object) -> str:
        if kind == "telnet":
            server: Telnetd = request.getfixturevalue("telnetd")
            login = {"host": server.host, "user": server.user, "password": server.password, "port": server.port}
            machines = [{**login, "term": "telnet"}]
        else:
            machines = [ssh(port) for _ in range(["local", "ssh", "ssh+hop"].index(kind))]
        return json.dumps({"machines": machines, "container": container and container.id, **more})

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    people: list[PtyUser] = []

    def make(spec: str) -> PtyUser:
        people.append(PtyUser(PROGRAM, spec))
        people[-1].see("BEFORE")
        return people[-1]

    yield make
    for each in people:
        each.leave()


@pytest.mark.parametrize("kind", ["local", "ssh", "ssh+hop", "telnet"])
def test_a_machine(start: Start, spec: Callable[..., str], kind: str) -> None:
    someone = start(spec(kind))
    someone.type("stty size; echo is$TERM\r")
    someone.see("24 80")
    someone.see("islinux")
    someone.resize(100, 30)
    someone.type(UNTIL_RESIZED)
    someone.see("resized to 30 100")
    someone.type("sh -c 'trap exit INT; echo on$((40+1)); while :; do sleep 0.1; done'\r")
    someone.see("on41")
    someone.type("\x03")
    someone.type("echo int$((40+2)); exit 7\r")
    someone.see("int42")
    someone.see("AFTER status=7 error=None same=True")


@pytest.mark.parametrize("shell", ["busybox", "bash"])
def test_a_container(
    start: Start, spec: Callable[..., str], shared_container: Callable[[str], Container], shell: str
) -> None:
    someone = start(spec("ssh", container=shared_container(shell)))
    someone.type("stty size; echo is$TERM\r")
    someone.see("24 80")
    someone.see("islinux")
    someone.resize(100, 30)
    someone.type(UNTIL_RESIZED)
    someone.see("resized to 30 100")
    someone.type("sh -c 'trap exit INT; echo on$((40+1)); while :; do sleep 0.1; done'\r")
    someone.see("on41")
    someone.type("\x03")
    someone.type("echo int$((40+2))\r")
    someone.see("int42")
    someone.type("stty -ixon; echo cat$((1+1)); cat\r")
    someone.see("cat2")
    someone.type("\x10\x11\r")  # docker's own keys to detach
    someone.see("^P^Q")
    someone.type("\x04exit 7\r")
    someone.see("AFTER status=7 error=None same=True")


def test_a_container_with_nothing_but_a_shell(
    start: Start, spec: Callable[..., str], shared_container: Callable[[str], Container]
) -> None:
    someone = start(spec("ssh", container=shared_container("dash")))
    someone.type("echo is$TERM; exit 7\r")
    someone.see("islinux")
    someone.see("AFTER status=7 error=None same=True")


def test_full_screen_programs_in_a_container(
    start: Start, spec: Callable[..., str], container: Callable[..., Container]
) -> None:
    made = container("busybox")
    someone = start(spec("ssh", container=made))
    someone.type("seq 1 100 | sed 's/$/ é/' >/tmp/n; busybox less /tmp/n\r")
    assert someone.see("23 é")[0] == "1 é"
    someone.type("G")
    someone.see("100 é")
    someone.type("q")
    someone.see("#")
    someone.type("clear; busybox vi /tmp/n\r")
    someone.see(lambda rows: rows[0] == "1 é" and rows[22] == "23 é")
    someone.resize(70, 12)
    terminals = "for tty in /dev/pts/[0-9]*; do stty size <$tty; done"
    until(lambda: "12 70" in made.exec("sh", "-c", terminals), 15, "the terminal has its new size")
    someone.type("\x0c")
    someone.see(lambda rows: rows[0] == "1 é" and rows[10] == "11 é")
    someone.type("dd")
    someone.see("Delete 1 lines")
    someone.type("oé☃ new")
    someone.see("I /tmp/n [Modified] 2/100")
    someone.type("\x1b")  # on its own, or it would begin the sequence of another key
    someone.see("- /tmp/n [Modified] 2/100")
    someone.type(":wq\r")
    someone.see("#")
    someone.type("clear; head -n 2 /tmp/n; exit\r")
    someone.see("2 é\né☃ new")
    someone.see("AFTER status=0 error=None same=True")


def test_leaving_ends_the_shell(start: Start, spec: Callable[..., str], container: Callable[..., Container]) -> None:
    made = container("busybox")
    someone = start(spec("ssh", container=made))
    someone.type("sleep 1000 & echo up$((40+2)); sleep 1000\r")
    someone.see("up42")
    someone.type("\x1d")
    someone.see("AFTER status=None error=None same=True")
    assert made.processes() == {}


def test_a_signal_ends_the_shell_and_restores_the_terminal(
    start: Start, spec: Callable[..., str], container: Callable[..., Container]
) -> None:
    made = container("busybox")
    someone = start(spec("ssh", container=made))
    someone.type("echo up$((40+2)); sleep 1000\r")
    someone.see("up42")
    os.kill(someone.child.pid, signal.SIGTERM)
    someone.see("AFTER status=None error=SystemExit same=True")
    assert made.processes() == {}


def test_a_lost_connection_restores_the_terminal(
    start: Start, spec: Callable[..., str], shared_container: Callable[[str], Container], proxy: Proxy, sshd: Sshd
) -> None:
    sshd.also_known_on(proxy.port)
    someone = start(spec("ssh", container=shared_container("busybox"), port=proxy.port))
    someone.type("echo up$((40+2))\r")
    someone.see("up42")
    proxy.refuse()
    proxy.drop()
    someone.see("AFTER status=None error=ConnectionLost same=True")


def test_a_run_on_another_session_goes_on_meanwhile(
    start: Start, spec: Callable[..., str], shared_container: Callable[[str], Container]
) -> None:
    someone = start(spec("ssh", container=shared_container("busybox"), run=True))
    someone.type("echo up$((40+2))\r")
    someone.see("up42")
    someone.see("RUN 42")
    someone.type("exit\r")
    someone.see("AFTER status=0 error=None same=True")


@pytest.mark.parametrize("shell", ["busybox", "dash", "bash"])
def test_stdin_that_is_no_terminal(
    spec: Callable[..., str], shared_container: Callable[[str], Container], shell: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec("ssh", container=shared_container(shell))],
        input="echo up$((40+2))\n(exit 5)\n",
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
    )
    assert "up42" in done.stdout
    assert "AFTER status=5 error=None" in done.stdout


def test_a_recording_of_a_container(
    spec: Callable[..., str], shared_container: Callable[[str], Container], tmp_path: Path
) -> None:
    program = PROGRAM.replace("host.interact()", f"host.interact(transcript={str(tmp_path / 'cast')!r})")
    subprocess.run(
        [sys.executable, "-c", program, spec("ssh", container=shared_container("busybox"))],
        input="echo é$((40+2))\n",
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=30,
        check=True,
    )
    header, *events = map(json.loads, (tmp_path / "cast").read_text().splitlines())
    assert header["version"] == 2
    assert "é42\r\n" in "".join(text for _, kind, text in events if kind == "o")
