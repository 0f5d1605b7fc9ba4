"""The ``.sh`` files: what is sent of them means what they mean, and values go in as literals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import otto_docker_sync
from otto_docker_sync._channel.scripts import load, script

PACKAGE = Path(otto_docker_sync.__file__).parent
FILES = sorted(PACKAGE.rglob("*.sh"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_sent_of_a_script_parses_as_the_file_does(path: Path) -> None:
    package = ".".join(["otto_docker_sync", *path.parent.relative_to(PACKAGE).parts])
    sent, _ = load(package, path.stem)
    assert as_bash_parsed(sent) == as_bash_parsed(with_includes(path))
    assert "\n#" not in sent and "\n " not in sent and "\n\n" not in sent


def test_values_are_literals_and_no_value_is_forgotten() -> None:
    nasty = 'it\'s $(date) \\ `id`\n"x"'
    text = script("otto_docker_sync._shell", "loader", otto_nonce=nasty).partition("otto_script=")[0]
    done = subprocess.run(["sh", "-c", text + 'printf %s "$otto_nonce"'], capture_output=True, text=True, check=True)
    assert done.stdout == nasty
    with pytest.raises(TypeError, match=r"takes \['otto_nonce'\], not \[\]"):
        script("otto_docker_sync._shell", "loader")


def with_includes(path: Path) -> str:
    """The file, with its includes in place and without the lines that name its values."""
    lines = []
    for line in path.read_text().splitlines(keepends=True):
        if line.startswith((". ./", ". ../")):
            lines.append(with_includes(path.parent / line.removeprefix(". ").strip()))
        elif not line.startswith(': "${'):
            lines.append(line)
    return "".join(lines)


def as_bash_parsed(text: str) -> str:
    """How bash prints a function of that body, which shows neither comments nor layout."""
    body = f"parsed() {{\n:\n{text}\n}}\ndeclare -f parsed"
    return subprocess.run(["bash", "-c", body], capture_output=True, text=True, check=True).stdout
