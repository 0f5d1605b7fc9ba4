"""The types that a user's program sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import otto_docker_sync

API = Path(__file__).parents[1] / "typing" / "api.py"
# The package itself is checked elsewhere.
OPTIONS = ("--strict", "--python-version", "3.10", "--follow-imports", "silent", "--config-file", "")


def test_a_users_program_is_right_under_the_strict_type_checker(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", tmp_path, API],
        cwd=API.parents[2],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_typed_program_names_every_public_name():
    text = API.read_text()
    assert not [name for name in otto_docker_sync.__all__ if name not in text]


def test_every_public_name_is_there():
    assert not [name for name in otto_docker_sync.__all__ if not hasattr(otto_docker_sync, name)]
