"""A small image made of this machine's own files; nothing is downloaded."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from .dockerd import Docker
from .processes import SandboxError, program
from .workspace import Workspace

PASSWD = "root:x:0:0:root:/root:/bin/sh\ntester:x:1000:1000:tester:/home/tester:/bin/sh\n"
GROUP = "root:x:0:\ntester:x:1000:\n"
PATH = "/usr/local/bin:/usr/bin:/bin"


def import_busybox(docker: Docker, workspace: Workspace) -> str:
    """Make an image with busybox's ash and all of its applets, and return its tag."""
    return import_image(docker, workspace, "busybox", busybox_root())


def import_image(docker: Docker, workspace: Workspace, name: str, root: bytes) -> str:
    """Make an image of a root file system, a tar, and return its tag.

    Its containers sleep, and ignore SIGTERM as every process 1 without a handler does.
    """
    tag = f"otto-sandbox/{name}:{workspace.path.name.rpartition('.')[2].lower()}"
    changes = [
        'CMD ["sleep", "2147483"]',
        f"ENV PATH={PATH}",
        f"LABEL {workspace.label}",
    ]
    arguments = [part for change in changes for part in ("--change", change)]
    docker("import", *arguments, "-", tag, stdin=root, timeout=120)
    return tag


def busybox_root() -> bytes:
    """A root file system with busybox as a link for each of its applets."""
    root = RootFilesystem()
    binary = busybox_binary()
    root.add_program("bin/busybox", binary)
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        root.add_link(f"bin/{applet}", "busybox")
    return root.close()


def busybox_binary() -> str:
    """The path of this machine's static busybox. Raises `SandboxError` when there is none."""
    path = program("busybox", "busybox-static")
    if _libraries(path):
        raise SandboxError(f"{path} is not static: apt-get install busybox-static")
    return path


class RootFilesystem:
    """A root file system in a tar, with the users root and tester (1000)."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 (closed by `close`)
        self._names: set[str] = set()
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("home", 0o755), ("usr/local/bin", 0o755)):
            self._add_directory(name, mode)
        self._add_directory("home/tester", 0o755, owner=1000)
        self._add_text("etc/passwd", PASSWD)
        self._add_text("etc/group", GROUP)

    def add_program(self, name: str, source: str) -> None:
        """Add a program of this machine, with the libraries that it loads."""
        for path, original in ((name, source), *((library[1:], library) for library in _libraries(source))):
            self._add_directory(path.rpartition("/")[0])
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            self._add(entry, Path(original).read_bytes())

    def add_link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add_directory(name.rpartition("/")[0])
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(entry)

    def close(self) -> bytes:
        """The finished tar."""
        self._tar.close()
        return self._buffer.getvalue()

    def _add_text(self, name: str, content: str) -> None:
        self._add_directory(name.rpartition("/")[0])
        self._add(tarfile.TarInfo(name), content.encode())

    def _add_directory(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        parent = name.rpartition("/")[0]
        if parent:
            self._add_directory(parent)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._add(entry)

    def _add(self, entry: tarfile.TarInfo, content: bytes = b"") -> None:
        # Several programs need the same directories and libraries.
        if entry.name not in self._names:
            self._names.add(entry.name)
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))


def _libraries(source: str) -> list[str]:
    """The shared libraries that a program loads; none for a static one."""
    listing = subprocess.run([program("ldd", "libc-bin"), source], capture_output=True, text=True, check=False)
    return re.findall(r"(?:=> |^\t)(/\S+) \(0x", listing.stdout, re.MULTILINE)
