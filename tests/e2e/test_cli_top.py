"""``otto-docker top`` against the real rig, as JSON and on a real terminal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otto_docker_sync import Lab
from otto_docker_sync._sandbox import Sshd
from otto_docker_sync.cli import activity
from tests.faults.helpers import Call, until
from tests.rig.containers import Container
from tests.rig.pty_user import PtyUser

MakeContainer = Callable[..., Container]

OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))

LAB = """
[hosts.carrot]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
resources = ["power"]

[hosts.silent]
host = "127.0.0.1"
port = {port}
docker_capable = false

[containers.web]
parent = "carrot"
container = "{container}"

[reservations]
backend = "file:{directory}"
required = true
"""


@pytest.fixture
def lab_file(sshd: Sshd, container: MakeContainer, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lab.toml"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        text = LAB.format(sshd=sshd, port=silent.getsockname()[1], container=container().name, directory=tmp_path)
        path.write_text(text)
        yield path


def top_json(lab_file: Path) -> dict[str, Any]:
    command = [OTTO_DOCKER, "--lab", str(lab_file), "top", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_has_hosts_what_runs_on_them_and_reservations(lab_file: Path) -> None:
    with Lab.load(lab_file) as lab, lab.reserve("power", reason="nightly"):
        web, carrot = lab.get("carrot.docker.web"), lab.get("carrot")
        web.run("cd /tmp", check=True)
        carrot.run("cd /tmp", check=True)
        started = [Call(lambda: web.oneshot("touch /started; sleep 2147")), Call(lambda: carrot.oneshot("sleep 2147"))]
        web.run("until [ -e /started ]; do sleep 0.1; done", timeout=40, check=True)
        found = top_json(lab_file)
        lab.close()
        assert all(call.result(within=20).retcode is None for call in started)
    hosts = {row["host"]: row for row in found["hosts"]}
    assert [hosts["carrot"][name] for name in ("up", "state", "problem")] == [True, "up", ""]
    assert hosts["carrot"]["latency"] > 0
    assert [hosts["carrot"][name] for name in ("sessions", "commands")] == [1, 1]
    web_row = hosts["carrot.docker.web"]
    assert [web_row[name] for name in ("up", "sessions", "commands")] == [True, 1, 1]
    assert not hosts["silent"]["up"] and hosts["silent"]["latency"] is None
    (hold,) = found["reservations"]
    assert (hold["tags"], hold["reason"]) == (["power"], "nightly")


@pytest.mark.parametrize("way", ["q", "\x03", "TERM"])
def test_the_screen_is_left_with_the_terminal_restored(lab_file: Path, way: str) -> None:
    """And a machine that says nothing does not keep the others from being shown."""
    program = (
        "import signal, subprocess, sys; signal.signal(signal.SIGINT, lambda *_: None); "
        "status = subprocess.call(sys.argv[1:]); "
        "print('left with', status, flush=True); input()"
    )
    someone = PtyUser(program, OTTO_DOCKER, "--lab", str(lab_file), "top")
    try:
        before = termios.tcgetattr(someone.child.child_fd)
        rows = someone.see(lambda rows: any(row.startswith("carrot ") and " up " in f"{row} " for row in rows))
        assert any(row.startswith("carrot.docker.web") for row in rows)
        if way == "TERM":
            (child,) = Path(f"/proc/{someone.child.pid}/task/{someone.child.pid}/children").read_text().split()
            os.kill(int(child), signal.SIGTERM)
        else:
            someone.type(way)
        status = {"q": 0, "\x03": 130, "TERM": 143}[way]
        someone.see(f"left with {status}")
        assert termios.tcgetattr(someone.child.child_fd) == before
    finally:
        someone.leave()


def test_a_long_trouble_leaves_the_other_columns_whole(lab_file: Path) -> None:
    lab_file.write_text(lab_file.read_text() + '[hosts.closed]\nhost = "127.0.0.1"\nport = 1\ndocker_capable = false\n')

    def is_complete(rows: list[str]) -> bool:
        states = {words[0]: words[1:] for row in rows if len(words := row.split()) > 1}
        return (
            states.get("carrot", [])[:1] == ["up"]
            and states.get("carrot.docker.web", [])[:1] == ["up"]
            and states.get("closed", [])[:2] == ["down", "closed"]
        )

    program = "import subprocess, sys; subprocess.call(sys.argv[1:])"
    someone = PtyUser(program, OTTO_DOCKER, "--lab", str(lab_file), "top")
    try:
        rows = someone.see(is_complete)
        assert "host state latency sessions commands trouble".split() in [row.split() for row in rows]
    finally:
        someone.leave()


def test_of_a_docker_that_does_not_answer_nothing_is_claimed(
    lab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its machine is up as soon as that is known."""
    silence = Path(f"/tmp/otto-{time.monotonic_ns()}")  # where the login may look
    silence.touch()
    client = json.dumps(["sh", "-c", f'while [ -e {silence} ]; do sleep 0.1; done; exec docker "$@"', "docker"])
    text = lab_file.read_text().replace('resources = ["power"]', f"docker_command = {client}")
    project = '[projects.shop]\ncompose_files = ["shop.yml"]\ndefault_host = "carrot"\nservices = ["api"]\n'
    lab_file.write_text(text + project)
    (tmp_path / "shop.yml").write_text("services: {api: {image: none}}\n")
    monkeypatch.setattr(activity, "TOP_LOOK_TIME", 2.0)
    with Lab.load(lab_file) as lab:
        watch = activity.LabWatch(lab)

        def sees(carrot: str, web: str, api: str) -> bool:
            states = {row.host: row.state for row in watch.hosts()}
            return (states["carrot"], states["carrot.docker.web"], states["carrot.shop.api"]) == (carrot, web, api)

        watch.start()
        try:
            until(lambda: sees("up", "asking", "asking"), 60, "the machine is up")
            until(lambda: sees("up", "not known", "not known"), 60, "docker was given up")
            silence.unlink()
            until(lambda: sees("up", "up", "not up"), 60, "docker has answered")
        finally:
            watch.stop()
            silence.unlink(missing_ok=True)


def test_processes_are_told_apart_by_their_markers() -> None:
    text = "\n".join(
        [
            "<n> self own", "<n> environ", "OTTO_TAG=own",
            "<n> environ", "OTTO_TAG=1", "OTTO_RUN=2", "<n> environ", "OTTO_TAG=1", "<n> environ", "OTTO_SESSION=3",
            "<n> cmdline", "sudo", "-n", "docker", "exec", "-it", "--detach-keys", "ctrl-@", "-e",
            "OTTO_SESSION=4", "c1", "sh", "-c", "OTTO_RUN=*)",
            "<n> cmdline", "grep", "OTTO_TAG=5",
        ]
    )  # fmt: skip
    found = activity.read_activity(text, "n")
    assert (found[""].sessions, found[""].commands) == ({"3"}, {"1", "2"})
    assert (found["c1"].sessions, found["c1"].commands) == ({"4"}, set())
