"""What stands in front of the docker client: sudo, a wrapper that talks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from otto_docker_sync import UnixHost, compose_down, compose_logs, compose_ps, compose_up, composed
from tests.rig.account import Account
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

from .conftest import Bench

SLEEPING = "    command: [sleep, '600']\n"


@pytest.fixture
def sudoers(account: Account) -> Iterator[None]:
    """Let the account run docker as root, with nothing of its environment but where the test's daemon is."""
    entry = Path("/etc/sudoers.d") / f"{account.name.replace('.', '_')}_compose"
    entry.write_text(
        f'Defaults:{account.name} env_keep += "DOCKER_HOST DOCKER_CONFIG"\n'
        f"{account.name} ALL=(root) NOPASSWD: {shutil.which('docker')}\n"
    )
    entry.chmod(0o440)
    yield
    entry.unlink()


@pytest.mark.usefixtures("sudoers")
def test_sudo_drops_no_variable(bench: Bench, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TAG", "it's \"v7\" $x")
    monkeypatch.setenv("COMPOSE_PROFILES", "debug")
    bench.write({".env": "FROM_DOT=${MY_TAG}\n"})
    bench.write_services(
        {
            "api": SLEEPING + "    environment: {TAG: '${MY_TAG:?}', DOT: '${FROM_DOT}', MY_TAG: }\n",
            "dbg": SLEEPING + "    profiles: [debug]\n",
        }
    )
    lab = bench.load()
    parent = lab.add(UnixHost(sshd.host, id="rooted", docker_command=("sudo", "-n", "docker"), **bench.login(lab)))
    with composed("repo1", lab, on=parent) as services:
        assert sorted(services) == ["api", "dbg"]
        printed = services["api"].oneshot('printf "%s|" "$TAG" "$DOT" "$MY_TAG"').output
        assert printed == "it's \"v7\" $x|" * 3
    assert bench.containers("-a") == []


NOISY = """#!/bin/sh
echo WORD: this docker is managed, and busybox too
exec docker "$@"
"""


def test_a_wrapper_that_talks_changes_nothing(either_bench: Bench, version: str, rig: Rig, sshd: Sshd) -> None:
    bench, lab = either_bench, either_bench.load()
    wrapper = bench.directory / "docker-with-notice"
    # The first word of the noise is the name of a container, which nobody may touch.
    word = bench.compose_project.replace("otto-", "notice-", 1)
    noisy = NOISY.replace("WORD", word)
    wrapper.write_text(noisy)
    wrapper.chmod(0o755)
    bench.directory.chmod(0o755)
    for parent in bench.directory.parents:
        if not parent.stat().st_mode & 1:
            parent.chmod(0o755)
    if version == "v1":
        beside = bench.directory / "docker-with-notice-compose"
        beside.write_text(noisy.replace("exec docker ", "exec docker-compose "))
        beside.chmod(0o755)
    carrot = lab.get("carrot")
    assert isinstance(carrot, UnixHost)
    command = (*carrot.docker_command[:-1], f"PATH={bench.directory}:/usr/local/bin:/usr/bin:/bin", wrapper.name)
    parent_host = lab.add(UnixHost(sshd.host, id="managed", docker_command=command, **bench.login(lab)))
    bystander = rig.container("busybox", "--name", word)
    try:
        bench.write_services({"api": SLEEPING, "dbg": SLEEPING + "    profiles: [debug]\n"})
        bench.declare("api", "dbg")
        lab.projects["repo1"] = bench.load().project("repo1")
        hosts = compose_up("repo1", lab, on=parent_host)
        assert sorted(hosts) == ["api", "dbg"]
        assert hosts["api"].oneshot("hostname").output.strip() == hosts["api"].container_id[:12]
        assert hosts["api"].is_running()
        listed = [each.service for each in compose_ps(parent_host) if each.compose_project == bench.compose_project]
        assert listed == ["api", "dbg"]
        assert compose_logs("repo1", lab, on=parent_host) == []
        compose_down("repo1", lab, on=parent_host)
        assert bench.containers("-a") == []
        assert bench.docker("inspect", "--format", "{{.State.Status}}", bystander.id) == "running"
    finally:
        bystander.remove()
