"""Places to transfer to and from, one for each kind of host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, LocalHost, UnixHost
from tests.rig.containers import Container
from tests.rig.rig import Rig

from .places import Place, place_in

KINDS = ["local", "ssh", "busybox", "dash"]
ALL_KINDS = [*KINDS, "bash", "noshell"]


@pytest.fixture
def make_place(
    rig: Rig,
    tmp_path: Path,
    unix_host: UnixHost,
    shared_container: Callable[[str], Container],
    container_host: Callable[..., DockerContainerHost],
) -> Iterator[Callable[[str], Place]]:
    """Make an empty directory on a host of a kind."""
    with ExitStack() as stack:

        def make(kind: str) -> Place:
            name = rig.unique("place")
            if kind in ("local", "ssh"):
                host = LocalHost() if kind == "local" else unix_host
                above = tmp_path if kind == "local" else "~"
                root = Path(host.oneshot(f"cd {above} && mkdir {name} && cd {name} && pwd -P").check().output.strip())
                stack.callback(shutil.rmtree, root, ignore_errors=True)
                stack.callback(host.close)
                return Place(kind, host, str(root), root)
            container = shared_container(kind)
            return stack.enter_context(place_in(container_host(container), container, "/tmp", name))

        yield make


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Iterator[Place]:
    """An empty directory on each kind of host that goes a way of its own."""
    made = make_place(request.param)
    yield made
    assert made.stages() == []


@pytest.fixture(params=ALL_KINDS)
def any_place(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Iterator[Place]:
    """The same on all kinds there are."""
    made = make_place(request.param)
    yield made
    assert made.stages() == []


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A local directory for sources and for what comes back."""
    path = tmp_path / "local"
    path.mkdir()
    os.chmod(path, 0o755)
    return path
