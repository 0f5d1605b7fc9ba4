"""Directories on hosts, as the tests look at them: past the library, through this machine's own file system."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from otto_docker_sync import DockerContainerHost, LocalHost, UnixHost
from otto_docker_sync.host import Host
from tests.rig.containers import Container

AnyHost = Host | UnixHost | LocalHost | DockerContainerHost


@dataclass
class Place:
    """A directory of a host: its ``path`` there, and ``root``, where this machine sees it."""

    kind: str
    host: AnyHost
    path: str
    root: Path

    def stages(self) -> list[str]:
        """What a transfer has left behind."""
        return [name for _, names, _ in os.walk(self.root) for name in names if name.startswith(".otto-docker")]


def inside(container: Container, path: str) -> Path:
    """What the container's processes see, its own mounts included."""
    return Path(f"/proc/{container.pid}/root{path}")


@contextmanager
def place_in(host: AnyHost, container: Container, below: str, name: str, owner: int = 0) -> Iterator[Place]:
    root = inside(container, below) / name
    root.mkdir()
    os.chown(root, owner, owner)
    yield Place(container.kind, host, f"{below}/{name}", root)
    shutil.rmtree(root, ignore_errors=True)


def picture(root: Path | str) -> dict[str, tuple[object, ...]]:
    """All that is at `root` and below: permissions, and content or target."""
    found: dict[str, tuple[object, ...]] = {}
    top = os.fsencode(root)
    waiting = [top]
    while waiting:
        path = waiting.pop()
        status = os.lstat(path)
        name = os.fsdecode(os.path.relpath(path, top))
        if stat.S_ISDIR(status.st_mode):
            found[name] = ("directory", stat.S_IMODE(status.st_mode))
            waiting += [os.path.join(path, child) for child in os.listdir(path)]
        elif stat.S_ISLNK(status.st_mode):
            found[name] = ("link", os.fsdecode(os.readlink(path)))
        else:
            with open(path, "rb") as file:
                found[name] = ("file", stat.S_IMODE(status.st_mode), file.read())
    return found


def make_tree(root: Path) -> Path:
    """A tree with one of everything that is to arrive."""
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "script").write_bytes(b"#!/bin/sh\nexit 7\n")
    (root / "script").chmod(0o755)
    (root / "sub" / "data").write_bytes(bytes(range(256)) * 700)
    (root / "sub" / "data").chmod(0o640)
    (root / "sub" / "deeper" / "nothing").touch()
    (root / "sub" / "nobody").write_bytes(b"secret")
    (root / "sub" / "relative").symlink_to("../script")
    (root / "within").symlink_to("sub/deeper")
    (root / "dangling").symlink_to("not-there")
    (root / "sub" / "nobody").chmod(0)
    (root / "empty").chmod(0o750)
    root.chmod(0o755)
    return root


NOT_UTF8 = os.fsdecode(b"n\xffme")
NAMES = [
    "plain",
    "two words",
    " ",
    "-n",
    "--help",
    "co:lon",
    "q'\"`",
    "$(touch pwned)",
    "back\\slash\\n",
    "*",
    "[a]?",
    "new\nline",
    "ends in newline\n",
    "ü☃ العربية 日本",
    "~",
    ".hidden",
    "..dots",
    NOT_UTF8,
    "l" * 200,
    "語" * 80,
]
"""Names that somebody somewhere takes for something else. (None is "data" or "size".)"""
