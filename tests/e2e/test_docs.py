"""The documentation is built, without a warning."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(rig, tmp_path_factory) -> Path:
    return Path(rig.once("docs", lambda: str(build(tmp_path_factory.mktemp("docs")))))


def build(directory: Path) -> Path:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-d",
            directory / "trees",
            "docs",
            directory / "html",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return directory / "html"


def test_every_page_is_there_and_reachable(pages):
    sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in Path(ROOT, "docs").rglob("*.rst")}
    front = (pages / "index.html").read_text()
    assert not [str(source) for source in sources - {Path("index")} if f'href="{source}.html"' not in front]


def test_the_tutorial_says_what_happens(unix_host, ctr, tmp_path, monkeypatch):
    (tmp_path / "settings.conf").write_text("colour = green\n")
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testfile(
        str(ROOT / "docs" / "tutorial.rst"), module_relative=False, globs={"machine": unix_host, "api": ctr}
    )
    assert (failed, attempted > 10) == (0, True)
    assert (tmp_path / "hostname").exists()
    ctr.oneshot("rm /tmp/settings.conf", check=True)


def test_the_robot_keywords_have_their_page(pages):
    assert "Run Oneshot" in (pages / "OttoDockerLibrary.html").read_text()
    assert 'href="../OttoDockerLibrary.html"' in (pages / "howto" / "robot.html").read_text()


def test_the_reference_has_every_public_name(pages):
    import otto_docker_sync

    text = "".join(path.read_text() for path in (pages / "reference").glob("*.html"))
    assert not [name for name in otto_docker_sync.__all__ if f".{name}" not in text]
