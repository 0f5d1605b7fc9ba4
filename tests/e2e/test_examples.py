"""Every example runs as its first lines say, on the real rig."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.lab_files import EXAMPLES, write_lab_file

OTTO_DOCKER = Path(sys.executable).with_name("otto-docker")

ELSEWHERE = {
    "robot/before_sshlibrary.robot",
    "robot/after_sshlibrary.robot",
    "stack/compose.yml",
    "lab.toml",
    "ci/gitlab-ci.yml",
    "ci/github-actions.yml",
    "migrating/fabric_before.py",
}
"""What other tests run; what is not a program; and what needs Fabric, which the tests do not install."""


@pytest.fixture(scope="module")
def lab_file(tmp_path_factory, sshd, rig, compose) -> Iterator[Path]:
    """A lab whose stack is up for all examples."""
    from otto_docker_sync import Lab, compose_down, compose_up

    path = write_lab_file(tmp_path_factory.mktemp("lab"), sshd, rig.image("busybox"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTTO_COMPOSE_SUFFIX", f"{rig.worker}-examples-{sshd.port}")
        with Lab.load(path) as loaded:
            compose_up("repo1", loaded)
            yield path
            compose_down("repo1", loaded)


@pytest.fixture
def run(lab_file, sshd, shared_container, tmp_path) -> Callable[..., str]:
    environ = {
        **os.environ,
        "OTTO_LAB": str(lab_file),
        "OTTO_HOST": "carrot.repo1.api",
        "LAB_MACHINE": sshd.host,
        "LAB_PORT": str(sshd.port),
        "LAB_USER": sshd.user,
        "LAB_IDENTITY_FILE": str(sshd.identity_file),
        "LAB_KNOWN_HOSTS": str(sshd.known_hosts),
        "LAB_CONTAINER": shared_container("busybox").id,
        "LAB_SSH": f"ssh -p {sshd.port} -i {sshd.identity_file} -o UserKnownHostsFile={sshd.known_hosts}"
        f" -o GlobalKnownHostsFile=none -F none {sshd.user}@{sshd.host}",
    }

    def run(*argv: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *argv],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == "", done.stderr
        return done.stdout

    return run


DIALOGUE = ["before the match: '", "exit status: 1\n", "timed out\n"]
SAYS = {
    "first_command.py": ["exit status 3", "hello from /tmp", "timed out: True", "still hello"],
    "background.py": ["listens on port 8080", "request at ", "exit status 0, last words: bye", "meanwhile\nchecked\n"],
    "prompts.py": ["user tester, password of 6 letters, sure: y", "pattern 0 matched, group 'go'"],
    "files.py": ["/tmp/greeting: SUCCESS", "/no/such/file: FAILED", "hello from /tmp/hello.sh"],
    "paths.py": ["colour = red\napp.conf: 13 bytes, mode 640\n", "/etc/passwd exists", "No such file or directory"],
    "many_hosts.py": ["carrot.repo1.api", "carrot.repo1.db", "Linux"],
    "async_commands.py": ["'0', '1', '2', '3', '4', '5', '6', '7'", "cancelled", "still here"],
    "repeat.py": ["samples, highest load"],
    "migrating/pexpect_before.py": DIALOGUE,
    "migrating/pexpect_after.py": DIALOGUE,
    "migrating/fabric_after.py": ["exit status: 2\n", "/tmp\n", "you said yes", "timed out\n", "colour = green\n"],
}


@pytest.mark.parametrize("name", sorted(SAYS))
def test_a_program_runs_and_says_what_it_should(run, name):
    output = run(EXAMPLES / name)
    for text in SAYS[name]:
        assert text in output


def test_the_pytest_example_runs(run, lab_file, tmp_path):
    assert "5 passed" in run(
        *("-m", "pytest", "-p", "no:cacheprovider", "--basetemp", tmp_path / "inner", "--rootdir", EXAMPLES / "stack"),
        *("--otto-lab", lab_file, EXAMPLES / "stack"),
    )


def test_the_unit_test_example_runs(run, tmp_path):
    folder = EXAMPLES / "unit_tests"
    options = ("-p", "no:cacheprovider", "--basetemp", tmp_path / "inner", "--rootdir", folder)
    assert "2 passed" in run("-m", "pytest", *options, folder)


def test_the_robot_example_runs(run):
    assert "6 tests, 6 passed" in run("-m", "robot", EXAMPLES / "robot" / "suite.robot")


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-actions.yml"])
def test_the_ci_jobs_are_yaml_and_call_what_exists(name):
    text = (EXAMPLES / "ci" / name).read_text()
    assert "lab-tests" in (yaml.safe_load(text).get("jobs") or yaml.safe_load(text))
    called = re.findall(r"otto-docker (\w+)$", text, re.MULTILINE)
    assert called == ["doctor", "down"]
    for command in called:
        subprocess.run([OTTO_DOCKER, command, "--help"], check=True, capture_output=True, timeout=30)


def test_no_example_is_forgotten():
    files = [path for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    names = {path.relative_to(EXAMPLES).as_posix() for path in files}
    assert names == {*SAYS, *ELSEWHERE, "stack/test_stack.py", "robot/suite.robot", "unit_tests/test_restart.py"}
