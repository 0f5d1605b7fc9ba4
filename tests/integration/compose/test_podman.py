"""podman and podman-compose in the place of docker: by root, by sudo, and without root."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from otto_docker_sync import Lab, UnixHost, compose_down, compose_ps, compose_up
from tests.rig.account import Account
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

from .conftest import Bench
from .test_compose import private_directory
from .test_taken_over import TAKE_OVER

SETTINGS = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""
"""Where a machine forbids what podman's usual runtime and limits do, these will do."""

SUDOERS = """
Defaults:{user} secure_path="{path}", env_keep += "CONTAINERS_CONF"
{user} ALL=(root) NOPASSWD: {podman}, {compose}
"""

PROGRAM = """#!/bin/sh
PYTHONPATH={modules} exec /usr/bin/python3 -m podman_compose "$@"
"""
"""podman-compose lies beside the tests' own Python, which other users may not read. This one they may."""


@dataclass
class Podman:
    """podman for one kind of login: how the library calls it there, and how the test does past it."""

    sshd: Sshd
    command: tuple[str, ...]
    own_command: tuple[str, ...]

    def __call__(self, *argv: str, stdin: Path | None = None) -> str:
        with open(stdin or os.devnull, "rb") as file:
            done = subprocess.run([*self.own_command, *argv], stdin=file, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout.strip()


@pytest.fixture
def podman_programs(rig: Rig) -> Path:
    """A directory with podman-compose, and podman's settings."""

    def make() -> str:
        directory = rig.workspace.directory("podman")
        for name in ("podman_compose", "dotenv", "yaml"):
            spec = importlib.util.find_spec(name)
            assert spec is not None and spec.origin is not None
            origin = Path(spec.origin)
            if origin.name == "__init__.py":
                shutil.copytree(origin.parent, directory / name)
            else:
                shutil.copy(origin, directory)
        program = directory / "podman-compose"
        program.write_text(PROGRAM.format(modules=directory))
        program.chmod(0o755)
        (directory / "containers.conf").write_text(SETTINGS)
        subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
        return str(directory)

    return Path(rig.once("podman", make))


@pytest.fixture(params=["root", "sudo", "rootless"])
def podman(
    request: pytest.FixtureRequest,
    rig: Rig,
    podman_programs: Path,
    account: Account,
    sshd: Sshd,
    make_sshd: Callable[..., Sshd],
) -> Iterator[Podman]:
    path = f"PATH={podman_programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin"
    settings = ("env", "-u", "DOCKER_CONFIG", f"CONTAINERS_CONF={podman_programs}/containers.conf")
    if request.param == "root":
        yield Podman(make_sshd(login="root"), (*settings, path, "podman"), (*settings, "podman"))
    elif request.param == "sudo":
        entry = Path("/etc/sudoers.d") / f"{account.name.replace('.', '_')}_podman"
        programs = {"podman": shutil.which("podman"), "compose": podman_programs / "podman-compose"}
        entry.write_text(SUDOERS.format(user=account.name, path=path.removeprefix("PATH="), **programs))
        entry.chmod(0o440)
        yield Podman(sshd, (*settings, "sudo", "-n", "podman"), (*settings, "podman"))
        entry.unlink()
    else:
        # A short path: `podman container cleanup` refuses to work where its own in it has more than 50 characters, and
        # podman then waits for it in vain, for 20 s at the end of each container.
        runtime = rig.workspace.directory(f"run-{rig.worker}", 0o700)
        os.chown(runtime, account.uid, -1)
        command = (*settings, path, f"HOME={account.home}", f"XDG_RUNTIME_DIR={runtime}", f"TMPDIR={runtime}", "podman")
        made = Podman(sshd, command, ("runuser", "-u", account.name, "--", *command))
        yield made
        made("system", "reset", "--force")
        made("system", "migrate")  # ends the process that keeps its name space
        shutil.rmtree(runtime)


@pytest.fixture
def lab(
    bench: Bench, podman: Podman, rig: Rig, tmp_path: Path, make_unix_host: Callable[..., UnixHost]
) -> Iterator[Lab]:
    """The bench with a parent `with-podman`, and one service."""
    archive = tmp_path / "image.tar"
    rig.docker("save", "--output", str(archive), rig.image("busybox"))
    bench.image = podman("load", stdin=archive).rpartition("Loaded image: ")[2].strip()
    bench.write_services(
        {"api": "    command: [sleep, '600']\n    env_file: '${FILE:-api}.env'\n    volumes: ['./data:/data']\n"}
    )
    lab = bench.load()
    lab.add(make_unix_host(podman.sshd, docker_command=podman.command, id="with-podman"))
    yield lab
    try:
        assert bench.compose_project not in podman("ps", "-a", "--format", "{{.Names}}")
    finally:
        podman("rmi", "--force", bench.image)


def test_a_stack_whose_directories_were_taken_over_comes_up_again_and_leaves_nothing(
    bench: Bench, lab: Lab, podman: Podman, caplog: pytest.LogCaptureFixture
) -> None:
    parent = lab.get("with-podman")
    try:
        api = compose_up("repo1", lab, on=parent, build=False)["api"]
        assert api.oneshot("cat /data/greeting; echo $FROM_FILE").output == "hello\nyes\n"
        assert [each.service for each in compose_ps(parent) if each.compose_project == bench.compose_project] == ["api"]
        api.oneshot(TAKE_OVER, check=True)
        bench.write({"data/new": "new\n", "data/greeting": "changed\n"})
        api = compose_up("repo1", lab, on=parent, build=False)["api"]
        shown = api.oneshot("cd /data; cat greeting new; ls; stat -c '%u %a' . mine; test -O new")
        assert (shown.output.split(), shown.retcode) == (
            [*"changed new greeting mine new 4321 700 4321 644".split()],
            1 if podman.sshd.user != "root" and "sudo" in podman.command else 0,
        )
    finally:
        with caplog.at_level(logging.WARNING, "otto_docker_sync"):
            compose_down("repo1", lab, on=parent)
    assert caplog.text == ""
    assert not private_directory(podman.sshd, bench).exists()
    assert "otto-docker-root" not in podman("images")
