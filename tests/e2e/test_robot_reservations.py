"""Reservations in Robot Framework suites, and in several that pabot runs at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "suites"
OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))
LAB = """
name = "bench"
[hosts.carrot]
term = "local"
resources = ["carrot"]
[reservations]
required = true
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a directory with a lab file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "lab.toml").write_text(LAB)

    def run(*argv: str) -> None:
        done = subprocess.run(argv, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def pabot(tmp_path: Path) -> list[str]:
    """Two copies of a suite, at once."""
    copies = [tmp_path / f"suite_{number}.robot" for number in (1, 2)]
    for copy in copies:
        copy.write_text((SUITES / "take_turns.robot").read_text())
    command = ("--command", sys.executable, "-m", "robot", "--end-command")
    return [sys.executable, "-m", "pabot.pabot", "--processes", "2", "--no-pabotlib", *command, *map(str, copies)]


def test_keywords(run):
    run(sys.executable, "-m", "robot", str(SUITES / "reservations.robot"))


def test_suites_under_pabot_take_turns(run, tmp_path):
    run(*pabot(tmp_path))
    assert (tmp_path / "done").read_text() == "x\nx\n"


def test_pabot_under_one_reservation_shares_it_out(run, tmp_path):
    run(OTTO_DOCKER, "reserve", "carrot", "--", *pabot(tmp_path))
    assert (tmp_path / "done").read_text() == "x\nx\n"
