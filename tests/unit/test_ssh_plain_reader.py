"""The reader of ssh_config for machines without an ssh client: what it cannot read, it names by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from otto_docker_sync._ssh.plain_reader import read_files
from otto_docker_sync.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Host *\n  User 'me\n", r"config line 2: a quote is not closed in "),
        ("Host *\n  Port\n", r"config line 2: 'Port' has no value"),
        ("Match host\n", r"config line 1: Match host has no value"),
        ("Match exec true\n", r"config line 1: Match exec is understood by OpenSSH's own client only"),
    ],
)
def test_a_line_that_cannot_be_read(tmp_path: Path, text: str, error: str) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    with pytest.raises(ConfigError, match=error):
        read_files([str(config)], "carrot", None, None)


def test_files_that_include_each_other_end_with_an_error(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(f"Include {other}\n")
    other.write_text(f"Include {one}\n")
    with pytest.raises(ConfigError, match=r"Include goes deeper than \d+ files"):
        read_files([str(one)], "carrot", None, None)
