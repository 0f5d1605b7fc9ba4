"""What is mounted in a container, and where on its machine that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from otto_docker_sync import DockerContainerHost, Mount, NoSuchContainer
from tests.rig.containers import Container
from tests.rig.rig import Rig


def test_mounts(
    rig: Rig, container: Callable[..., Container], container_host: Callable[..., DockerContainerHost], tmp_path: Path
) -> None:
    odd = tmp_path / "with | spaces ü <&>"
    odd.mkdir()
    (tmp_path / "file").write_text("content\n")
    made = container(
        "busybox",
        *("--mount", f"type=bind,source={odd},target=/mnt/b ind"),
        *("--volume", f"{tmp_path / 'file'}:/mnt/file:ro", "--volume", "/mnt/anonymous"),
        *("--tmpfs", "/mnt/tmpfs", "--mount", "type=tmpfs,target=/mnt/other", "--tmpfs", "/mnt/read-only:ro"),
    )
    web = container_host(made)
    mounts = {mount.destination: mount for mount in web.mounts()}
    volume = mounts.pop("/mnt/anonymous")
    assert (volume.type, volume.read_only) == ("volume", False)
    assert volume.volume in volume.source
    assert list(mounts.values()) == [
        Mount(str(odd), "/mnt/b ind", "bind", False, ""),
        Mount(str(tmp_path / "file"), "/mnt/file", "bind", True, ""),
        Mount("", "/mnt/other", "tmpfs", False, ""),
        Mount("", "/mnt/read-only", "tmpfs", True, ""),
        Mount("", "/mnt/tmpfs", "tmpfs", False, ""),
    ]
    made.docker("kill", made.id)
    assert len(web.mounts()) == 6


def test_a_container_has_no_mounts(ctr: DockerContainerHost) -> None:
    assert ctr.mounts() == []


def test_a_container_that_is_not_there(container_host: Callable[..., DockerContainerHost]) -> None:
    with pytest.raises(NoSuchContainer):
        container_host("no-such-container").mounts()
    with pytest.raises(NoSuchContainer, match="neither one that runs nor one that has ended"):
        container_host("", compose_project="otto-nothing").mounts()
