"""Small images made of this machine's own files; nothing is downloaded."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

from .dockerd import Docker
from .processes import SandboxError, program
from .workspace import Workspace

DASH_TOOLS = ("sleep",)
BASH_TOOLS = (
    "awk base64 basename cat chgrp chmod chown cmp comm cp cut date dd df diff dirname du env expand expr false "
    "find fold getent grep groups head hostname id kill ln ls md5sum mkdir mkfifo mktemp mount mv nice nohup "
    "nproc od paste printenv printf ps pwd readlink realpath rm rmdir sed seq setsid sha256sum shuf sleep sort "
    "split stat stdbuf stty sync tac tail tar tee test timeout touch tr true truncate tty uname uniq wc whoami "
    "xargs yes"
).split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\ntester:x:1000:1000:tester:/home/tester:/bin/sh\n"
GROUP = "root:x:0:\ntester:x:1000:\n"
PATH = "/usr/local/bin:/usr/bin:/bin"


def import_image(docker: Docker, workspace: Workspace, kind: str) -> str:
    """Make one of the `KINDS` and return its tag. Its containers sleep (and heed no SIGTERM).

    ``busybox``: ash and all applets. ``dash``: dash as sh, libc and sleep, nothing else. ``bash``: bash as sh, with
    the usual tools. ``noshell``: one static binary. All but the last have the users root and tester (1000).
    """
    tag = f"otto-sandbox/{kind}:{workspace.path.name.rpartition('.')[2].lower()}"
    changes = [
        'CMD ["sleep", "2147483"]',
        f"ENV PATH={PATH}",
        f"LABEL {workspace.label}",
    ]
    arguments = [part for change in changes for part in ("--change", change)]
    docker("import", *arguments, "-", tag, stdin=KINDS[kind](), timeout=120)
    return tag


class _Root:
    """A root file system in a tar."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 (closed by `done`)
        self._names: set[str] = set()
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("home", 0o755), ("usr/local/bin", 0o755)):
            self._directory(name, mode)
        self._directory("home/tester", 0o755, owner=1000)
        self.text("etc/passwd", PASSWD)
        self.text("etc/group", GROUP)

    def _directory(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        parent = name.rpartition("/")[0]
        if parent:
            self._directory(parent)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._add(entry)

    def _add(self, entry: tarfile.TarInfo, content: bytes = b"") -> None:
        if entry.name not in self._names:
            self._names.add(entry.name)
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))

    def text(self, name: str, content: str) -> None:
        self._directory(name.rpartition("/")[0])
        self._add(tarfile.TarInfo(name), content.encode())

    def link(self, name: str, target: str) -> None:
        self._directory(name.rpartition("/")[0])
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(entry)

    def program(self, name: str, source: str) -> None:
        """A program of this machine, with the libraries that it loads."""
        self._directory(name.rpartition("/")[0])
        entry = tarfile.TarInfo(name)
        entry.mode = 0o755
        self._add(entry, Path(source).read_bytes())
        for library in _libraries(source):
            self._directory(library[1:].rpartition("/")[0])
            entry = tarfile.TarInfo(library[1:])
            entry.mode = 0o755
            self._add(entry, Path(library).read_bytes())

    def done(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def _libraries(source: str) -> list[str]:
    done = subprocess.run([program("ldd", "libc-bin"), source], capture_output=True, text=True, check=False)
    return re.findall(r"(?:=> |^\t)(/\S+) \(0x", done.stdout, re.MULTILINE)


def _busybox_binary() -> str:
    path = program("busybox", "busybox-static")
    if _libraries(path):
        raise SandboxError(f"{path} is not static: apt-get install busybox-static")
    return path


def _busybox() -> bytes:
    root, binary = _Root(), _busybox_binary()
    root.program("bin/busybox", binary)
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        root.link(f"bin/{applet}", "busybox")
    return root.done()


def _dash() -> bytes:
    root = _Root()
    root.program("bin/sh", program("dash", "dash"))
    for tool in DASH_TOOLS:
        root.program(f"bin/{tool}", program(tool, "coreutils"))
    return root.done()


def _bash() -> bytes:
    root = _Root()
    root.program("bin/bash", program("bash", "bash"))
    root.link("bin/sh", "bash")
    for tool in BASH_TOOLS:
        root.program(f"bin/{tool}", os.path.realpath(program(tool, f"whatever has {tool}")))
    return root.done()


def _noshell() -> bytes:
    root = _Root()
    root.program("bin/sleep", _busybox_binary())  # by this name it is nothing but sleep
    return root.done()


KINDS = {"busybox": _busybox, "dash": _dash, "bash": _bash, "noshell": _noshell}
