"""What is mounted in a container."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mount:
    """A directory or a file of a container that lies elsewhere. Made by `DockerContainerHost.mounts`.

    >>> logs = next(mount for mount in web.mounts() if mount.destination == "/var/log/app")
    >>> web.parent.path(logs.source)
    RemotePath('lab1', '/srv/shop/logs')
    """

    source: str
    """Where it is on the container's machine; ``""`` for what is in memory only."""

    destination: str
    """Where the container sees it."""

    type: str
    """``bind`` for a path of the machine, ``volume`` for a volume of docker, ``tmpfs`` for memory."""

    read_only: bool
    """Whether the container may only read it."""

    volume: str
    """The name of a volume; ``""`` for all else."""


def parse_mounts(answers: list[str]) -> list[Mount]:
    """Read what ``container_mounts.sh`` reports, in the order of the container's paths."""
    listed, in_memory = (json.loads(answer) or [] for answer in [*answers, "null", "null"][:2])
    mounts = [_read(mount) for mount in listed]
    known = {mount.destination for mount in mounts}
    for destination, options in dict(in_memory).items():
        if destination not in known:  # podman lists it among the others
            mounts.append(Mount("", destination, "tmpfs", "ro" in options.split(","), ""))
    return sorted(mounts, key=lambda mount: mount.destination)


def _read(mount: dict[str, Any]) -> Mount:
    kind = mount.get("Type", "bind")
    source = "" if kind == "tmpfs" else mount.get("Source", "")
    volume = mount.get("Name", "") if kind == "volume" else ""
    return Mount(source, mount["Destination"], kind, not mount.get("RW", True), volume)
