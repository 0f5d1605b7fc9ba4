"""The directory that owns everything that a run starts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

ROOT = Path("/var/tmp")
PREFIX = "otto-sandbox."
LABEL = "otto-docker-sync.sandbox"
OWNER_VARIABLE = "OTTO_SANDBOX"
"""Names the workspace in the environment of the daemons that belong to it."""


class Workspace:
    """A directory that owns daemons, users and containers: they carry its name, and are removed with it.

    Its maker holds a lock on it for as long as it lives. So a free lock tells that its maker was killed.
    `lifecycle` makes and removes workspaces.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def try_lock(self) -> bool:
        """Take the maker's lock, unless another process has it or the directory is gone."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def unlock(self) -> None:
        """Give the maker's lock back, if this object has it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def label(self) -> str:
        """The label of every container and image that belongs to the workspace."""
        return f"{LABEL}={self.path.name}"

    @property
    def bridge(self) -> str:
        """The name of the network bridge of a docker daemon that belongs to the workspace."""
        return f"otto-{self.path.name.rpartition('.')[2]}"

    def environ(self) -> dict[str, str]:
        """The environment for a daemon that belongs to the workspace."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            OWNER_VARIABLE: str(self.path),
        }

    def directory(self, name: str, mode: int = 0o755) -> Path:
        """A directory in the workspace; made when it does not exist."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def owns(self, pid: int) -> bool:
        """Whether this process is a daemon that belongs to the workspace.

        A pid read from a file may belong to a stranger by now, so its environment is looked at.
        """
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        # An sshd writes its title over its environment.
        by_title = title.startswith(b"sshd: ") and f" {self.path}/".encode() in title
        return by_title or f"{OWNER_VARIABLE}={self.path}".encode() in environ.split(b"\0")
