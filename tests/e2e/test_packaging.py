"""The wheel and the sdist, as a user gets them: built, installed into empty environments, used there."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.rig import Rig

pytestmark = pytest.mark.timeout(200)

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

SMOKE = """
import asyncio, sys
import otto_docker_sync
from otto_docker_sync import LocalHost

async def cancelled(host):
    try:
        await asyncio.wait_for(host.aio.run("sleep 60"), 0.3)
    except asyncio.TimeoutError:
        return (await host.aio.run("pwd", timeout=10)).output

assert "site-packages" in otto_docker_sync.__file__, otto_docker_sync.__file__
with LocalHost() as host:
    assert host.oneshot("echo hi").output == "hi\\n"
    assert host.run("cd /tmp").ok
    assert host.run("pwd").output == "/tmp\\n"
    assert asyncio.run(cancelled(host)) == "/tmp\\n"
print("smoke passed on", sys.version.split()[0])
"""

LIGHT = """
import sys
import {module}
heavy = {heavy}
loaded = sorted(name for name in sys.modules if name.split(".")[0] in heavy or name in heavy)
sys.exit(", ".join(loaded) or None)
"""
FACES = {"otto_docker_sync.aio", "otto_docker_sync.cli", "otto_docker_sync.robot"}
HEAVY = {"asyncio", "paramiko", "pexpect", "pydantic", "redis", "rich", "robot", "telnetlib3", "typer", *FACES}


def interpreters() -> dict[str, str]:
    """Every supported Python of this machine: on the PATH, or kept by pyenv. The running one is always there."""
    found = {RUNNING: sys.executable}
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}"), *sorted(glob.glob(f"{pyenv}/versions/{version}.*/bin/python"))]
        for candidate in filter(None, candidates):
            if version not in found and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
                found[version] = candidate
    return found


INTERPRETERS = interpreters()


def run(*argv: str | Path, cwd: Path) -> str:
    """The output of a program that must succeed, in an environment without this process's settings of Python."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{argv}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the sdist, and the wheel that was built from it."""
    return Path(rig.once("dist", lambda: str(build(tmp_path_factory.mktemp("source")))))


def build(source: Path) -> Path:
    for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0"):
        if name and Path(ROOT, name).exists():
            Path(source, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(ROOT, name), Path(source, name))
    run(sys.executable, "-m", "build", "--outdir", source / "dist", cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_package_its_types_and_its_entry_points(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "otto_docker_sync/py.typed" in names
        assert {name.split("/")[0].split("-")[0] for name in names} == {"otto_docker_sync"}, "only the package"
        wanted = {str(path.relative_to(ROOT)) for path in Path(ROOT, "otto_docker_sync").rglob("*.py")}
        tracked = set(run("git", "ls-files", "otto_docker_sync", cwd=ROOT).splitlines())
        assert (wanted & tracked) <= set(names)
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
    assert "otto-docker = otto_docker_sync.cli:main" in text
    assert "[pytest11]" in text and "otto_docker_sync.pytest_plugin" in text


def test_the_sdist_holds_what_the_wheel_is_built_from(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "setup.py", "pyproject.toml", "README.rst", "LICENSE"} <= names


@pytest.fixture
def empty_environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The interpreter of an environment in which nothing is installed."""
    environment = tmp_path / "environment"
    run(INTERPRETERS[request.param], "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    yield environment / "bin" / "python"
    shutil.rmtree(environment)


@pytest.mark.parametrize("empty_environment", sorted(INTERPRETERS), indirect=True)
def test_the_wheel_installs_and_works_on_every_python(wheel, empty_environment, tmp_path):
    pip = (sys.executable, "-m", "pip", "--python", empty_environment, "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--no-compile", wheel, cwd=tmp_path)
    assert "smoke passed" in run(empty_environment, "-c", SMOKE, cwd=tmp_path)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("otto_docker_sync", HEAVY | {"pytest", "otto_docker_sync.pytest_plugin"}),
        ("otto_docker_sync.testing", HEAVY | {"pytest", "otto_docker_sync.lab", "otto_docker_sync.unix_host"}),
        ("otto_docker_sync.pytest_plugin", HEAVY | {"otto_docker_sync.lab", "otto_docker_sync.host"}),
    ],
)
def test_an_import_loads_no_face_and_nothing_heavy(module, heavy, tmp_path):
    by_pytest = set(run(sys.executable, "-c", "import pytest, sys; print(*sys.modules)", cwd=tmp_path).split())
    expected = by_pytest if module.endswith("plugin") else set()
    run(sys.executable, "-c", LIGHT.format(module=module, heavy=heavy - expected), cwd=tmp_path)
