"""``otto-docker reserve``, ``who`` and ``release``, as programs of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))

LAB = """
name = "bench"
[hosts.carrot]
term = "local"
resources = ["carrot"]
[hosts.gpu-1]
term = "local"
resources = ["gpu-1"]
[hosts.gpu-2]
term = "local"
resources = ["gpu-2"]
"""

VERBS = """
import sys
from otto_docker_sync import Lab, ReservationLost

with Lab.load("lab.toml") as lab:
    host = lab.get("carrot")
    print(host.oneshot("echo works").output, end="", flush=True)
    for line in sys.stdin:
        try:
            host.oneshot("sleep 600" if "sleep" in line else "true", check=True)
            print("still works", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}", flush=True)
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab.toml").write_text(LAB)
    (tmp_path / "verbs.py").write_text(VERBS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OTTO_RUN_NAME", "nightly-7")
    return tmp_path


def otto(*args: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([OTTO_DOCKER, *args], capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert status is None or done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``otto-docker`` with pipes for all its streams; killed after the test."""
    with ExitStack() as stack:

        def start(*args: str) -> subprocess.Popen[str]:
            pipe = subprocess.PIPE
            process = subprocess.Popen([OTTO_DOCKER, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def line_of(stream) -> str:
    line: str = stream.readline()
    return line.rstrip("\n")


def test_a_command_runs_as_the_holder_and_its_status_is_ours(bench):
    script = f"echo $OTTO_RESERVED; {OTTO_DOCKER} --json who; exit 7"
    done = otto("reserve", "carrot", "--reason", "flash", "--", "sh", "-c", script, status=7)
    hosts, table = done.stdout.splitlines()
    assert hosts == "carrot"
    (hold,) = json.loads(table)["holds"]
    assert (hold["tags"], hold["mode"], hold["reason"], hold["run"]) == (["carrot"], "exclusive", "flash", "nightly-7")
    assert json.loads(otto("who", "--json").stdout) == {"holds": [], "queue": []}


def test_any_of_several(bench):
    command = ("--", "sh", "-c", "echo $OTTO_RESERVED")
    assert otto("reserve", "--any", "gpu-*", *command).stdout == "gpu-1\n"
    assert otto("reserve", "--any", "gpu-*", "-n", "2", *command).stdout == "gpu-1 gpu-2\n"


def test_a_number_out_of_time_is_124_and_names_the_holder(bench, start):
    holder = start("reserve", "carrot", "--reason", "flashing")
    assert "carrot reserved" in line_of(holder.stderr)
    done = otto("reserve", "carrot", "--wait", "0", "--", "true", status=124)
    assert re.search(r"carrot held by \S+@\S+, process \d+, run nightly-7: flashing; place 1 in the queue", done.stderr)
    assert json.loads(otto("--json", "reserve", "carrot", "--wait", "0", status=124).stdout)["status"] == 124
    table = otto("who").stdout.split("\t")
    assert table[:3] == ["carrot", "exclusive", "holds"]
    holder.send_signal(signal.SIGINT)
    assert holder.wait(20) == 130
    otto("reserve", "carrot", "--wait", "0", "--", "true")


def test_what_is_wrong_on_the_command_line(bench):
    assert "name tags or hosts" in otto("reserve", status=255).stderr
    assert "did you mean 'carrot'" in otto("reserve", "carot", "--", "true", status=255).stderr
    assert "nosuchcommand" in otto("reserve", "carrot", "--", "nosuchcommand", status=255).stderr
    dry = otto("--dry-run", "reserve", "carrot", "--", "make", "test")
    assert "would reserve carrot and run make test" in dry.stderr


def test_taking_away_needs_force_and_why_and_interrupts_what_runs(bench, start):
    holder = start("reserve", "carrot", "--", sys.executable, "verbs.py")
    assert line_of(holder.stdout) == "works"
    for options in ([], ["--force"], ["--why", "because"]):
        assert "--force --why TEXT" in otto("release", "carrot", *options, status=255).stderr
    holder.stdin.write("go\n")
    holder.stdin.flush()
    assert line_of(holder.stdout) == "still works"
    holder.stdin.write("sleep\ngo\n")
    holder.stdin.flush()
    otto("release", "carrot", "--force", "--why", "because")
    first, second = line_of(holder.stdout), line_of(holder.stdout)
    assert "because" in first and "ReservationLost" in second and "because" in second
    assert "was lost: taken away by" in line_of(holder.stderr)
    holder.stdin.close()
    assert holder.wait(20) == 0


def test_when_the_reserving_process_is_killed_the_hold_is_free_and_the_command_has_lost_it(bench, start):
    holder = start("reserve", "carrot", "--", sys.executable, "verbs.py")
    assert line_of(holder.stdout) == "works"
    holder.kill()
    holder.wait()
    otto("reserve", "carrot", "--wait", "5", "--", "true")
    holder.stdin.write("go\n")
    holder.stdin.close()
    assert line_of(holder.stdout).startswith("ReservationLost: ")
    assert holder.stdout.read() == ""


def test_what_the_command_shares_out_among_its_processes(bench):
    script = """
from otto_docker_sync import ConfigError, Lab
with Lab.load("lab.toml") as lab:
    with lab.reserve("carrot") as mine:
        print(mine.tags)
    try:
        lab.reserve(["carrot", "gpu-1"])
    except ConfigError as error:
        print(error)
"""
    lines = otto("reserve", "carrot", "--", sys.executable, "-c", script).stdout.splitlines()
    assert lines[0] == "('carrot',)"
    assert lines[1].startswith("carrot: the process that started this one holds it")


def test_a_required_reservation_is_that_of_the_command(bench):
    with open(bench / "lab.toml", "a") as file:
        file.write("[reservations]\nrequired = true\n")
    assert "requires a reservation" in otto("oneshot", "carrot", "true", status=255).stderr
    assert otto("reserve", "carrot", "--", OTTO_DOCKER, "oneshot", "carrot", "echo yes").stdout == "yes\n"


def test_who_can_be_watched(bench, start):
    watching = start("who", "--watch", "--json")
    assert json.loads(line_of(watching.stdout)) == {"holds": [], "queue": []}
    holder = start("reserve", "carrot")
    assert json.loads(line_of(watching.stdout))["holds"][0]["tags"] == ["carrot"]
    holder.terminate()
    assert holder.wait(20) == 130
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 130
    assert os.listdir(bench / "state")


def test_the_doctor_looks_at_the_backend(bench):
    findings = json.loads(otto("--json", "doctor", "gpu-1", status=None).stdout)
    assert [finding["verdict"] for finding in findings if finding["check"] == "backend"] == ["ok"]
    with open(bench / "lab.toml", "a") as file:
        file.write('[reservations]\nbackend = "redis://127.0.0.1:1/0"\n')
    findings = json.loads(otto("--json", "doctor", "gpu-1", status=1).stdout)
    (finding,) = [finding for finding in findings if finding["check"] == "backend"]
    assert finding["verdict"] == "wrong" and "is the server up" in finding["found"]
