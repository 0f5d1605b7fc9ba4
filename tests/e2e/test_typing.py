"""The types that a user's program sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import otto_docker_sync

API = Path(__file__).parents[1] / "typing" / "api.py"
# The package itself is checked elsewhere.
OPTIONS = ("--strict", "--python-version", "3.10", "--follow-imports", "silent", "--config-file", "")


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Runs the type checker on a program. What it learns of the package is kept for the next one."""
    cache = tmp_path_factory.mktemp("mypy")
    return lambda program: subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", cache, program],
        cwd=API.parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_users_program_is_right_under_the_strict_type_checker(check):
    done = check(API)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_type_checker_knows_a_misspelt_name(check, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from otto_docker_sync import UnixHst\n")
    done = check(program)
    assert done.returncode == 1 and 'maybe "UnixHost"?' in done.stdout


def test_the_typed_program_names_every_public_name():
    text = API.read_text()
    assert not [name for name in otto_docker_sync.__all__ if name not in text]


def test_every_public_name_is_there():
    assert not [name for name in otto_docker_sync.__all__ if not hasattr(otto_docker_sync, name)]
