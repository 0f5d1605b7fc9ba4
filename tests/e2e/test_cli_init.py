"""otto-docker init: a first lab file, from the SSH configuration or from questions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

OTTO_DOCKER = str(Path(sys.executable).with_name("otto-docker"))

SSH_CONFIG = """
Host *
    ServerAliveInterval 5
Host carrot  "tomato.example"
    HostName = 192.0.2.10
    User tester
Match host potato
    User other
Host *.lab !secret gate?
    ProxyJump carrot
host onion
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    return home


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "bench"
    directory.mkdir()
    return directory


def otto(directory: Path, home: Path, *args: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [OTTO_DOCKER, *args],
        cwd=directory,
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status, done
    return done


def test_the_hosts_come_from_the_ssh_configuration(directory: Path, home: Path) -> None:
    (home / ".ssh" / "config").write_text(SSH_CONFIG)
    done = otto(directory, home, "init")
    assert "3 hosts" in done.stderr and "otto-docker doctor" in done.stderr
    assert "192.0.2.10" in (directory / "lab.toml").read_text()
    listed = json.loads(otto(directory, home, "--json", "hosts").stdout)
    assert [(host["id"], host["how"]) for host in listed] == [
        ("carrot", "carrot"),
        ("tomato-example", "tomato.example"),
        ("onion", "onion"),
    ]


def test_hosts_can_be_named_and_a_compose_file_is_a_project(directory: Path, home: Path) -> None:
    (home / ".ssh" / "config").write_text(SSH_CONFIG)
    (directory / "compose.yml").write_text("services: {}\n")
    otto(directory, home, "init", "onion")
    text = (directory / "lab.toml").read_text()
    assert "carrot" not in text and "[projects.bench]" in text
    assert [host["id"] for host in json.loads(otto(directory, home, "--json", "hosts").stdout)] == ["onion"]


def test_a_lab_file_that_exists_is_kept(directory: Path, home: Path) -> None:
    (directory / "lab.toml").write_text("# mine\n")
    assert "--force" in otto(directory, home, "init", "carrot", status=255).stderr
    assert (directory / "lab.toml").read_text() == "# mine\n"
    otto(directory, home, "init", "--force", "carrot")
    assert "[hosts.carrot]" in (directory / "lab.toml").read_text()


def test_without_hosts_it_asks(directory: Path, home: Path) -> None:
    terminal = pexpect.spawn(
        OTTO_DOCKER, ["init"], cwd=str(directory), env={**os.environ, "HOME": str(home)}, encoding="utf-8", timeout=20
    )
    for question, answer in (("Address", "192.0.2.7"), ("User", "tester"), ("Port", "2222"), ("Short name", "pea")):
        terminal.expect_exact(question)
        terminal.sendline(answer)
    terminal.read()
    terminal.close()
    assert terminal.exitstatus == 0
    (host,) = json.loads(otto(directory, home, "--json", "hosts").stdout)
    assert (host["id"], host["how"]) == ("pea", "tester@192.0.2.7:2222")


def test_without_hosts_and_a_terminal_it_says_what_to_do(directory: Path, home: Path) -> None:
    assert "otto-docker init ADDRESS" in otto(directory, home, "init", status=255).stderr


def test_a_dry_run_writes_nothing(directory: Path, home: Path) -> None:
    assert "[hosts.carrot]" in otto(directory, home, "--dry-run", "init", "carrot").stderr
    assert not (directory / "lab.toml").exists()
