"""Containers that take over the directories of their stack, as databases do, for a login that is not root."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from otto_docker_sync import compose_down, compose_up, composed
from tests.rig.sshd import Sshd

from .conftest import Bench
from .test_compose import private_directory

TAKE_OVER = "chown -R 4321:4321 /data && chmod 700 /data && touch /data/mine && chown 4321 /data/mine"


def test_what_containers_took_over_goes_with_the_stack(
    bench: Bench, sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    lab = bench.load()
    compose_up("repo1", lab)["api"].oneshot(TAKE_OVER).check()
    with caplog.at_level(logging.WARNING, "otto_docker_sync"):
        compose_down("repo1", lab)
    assert caplog.text == ""
    assert bench.containers("-a") == []
    assert not private_directory(sshd, bench).exists()
    assert "otto-docker-root" not in bench.docker("images")


def test_a_stack_whose_directory_was_taken_over_comes_up_again(either_bench: Bench) -> None:
    bench, lab = either_bench, either_bench.load()
    with composed("repo1", lab) as services:
        services["api"].oneshot(TAKE_OVER).check()
        data = bench.directory / "docker/data"
        (data / "new").write_text("new\n")
        (data / "greeting").write_text("changed\n")
        (bench.directory / "docker/api.env").write_text("FROM_FILE=changed\n")
        api = compose_up("repo1", lab)["api"]
        shown = api.oneshot("cat /data/greeting /data/new; echo $FROM_FILE; ls /data; stat -c '%u %a' /data /data/mine")
        assert shown.output.split() == [*"changed new changed greeting mine new 4321 700 4321".split(), "644"]


def test_what_did_not_change_is_not_touched(bench: Bench, sshd: Sshd) -> None:
    lab = bench.load()
    api = compose_up("repo1", lab)["api"]
    api.oneshot("echo mine >/data/greeting").check()
    (bench.directory / "docker/data/other").write_text("x")
    compose_up("repo1", lab)
    assert api.oneshot("cat /data/greeting; ls /data").output.split() == ["mine", "greeting", "other"]
    compose_down("repo1", lab)


def test_a_directory_that_became_a_file_and_a_file_that_became_a_directory(bench: Bench) -> None:
    lab = bench.load()
    data: Path = bench.directory / "docker/data"
    (data / "first").mkdir()
    (data / "first/x").write_text("x")
    (data / "second").write_text("y")
    os.symlink("second", data / "third")
    api = compose_up("repo1", lab)["api"]
    (data / "first/x").unlink()
    (data / "first").rmdir()
    (data / "first").write_text("file")
    (data / "second").unlink()
    (data / "second").mkdir()
    (data / "second/z").write_text("inside")
    (data / "third").unlink()
    (data / "third").write_text("plain")
    compose_up("repo1", lab)
    assert api.oneshot("cd /data; cat first; echo; cat second/z; echo; cat third; test -h third").output.split() == [
        *("file", "inside", "plain")
    ]
