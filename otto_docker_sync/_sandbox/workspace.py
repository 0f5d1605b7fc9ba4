"""The directory that owns all of a run's throwaway parts."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .processes import SandboxError, kill_all, owner, pids, with_descendants

__all__ = ["SandboxError", "Workspace"]

ROOT = Path("/var/tmp")
PREFIX = "otto-sandbox."
LABEL = "otto-docker-sync.sandbox"
MARK = "OTTO_SANDBOX"


class Workspace:
    """A directory that owns daemons, users and containers: they carry its name, and go with it.

    Its maker holds a lock on it for as long as it lives. What a killed run left is found by that lock being free, and
    removed by the next `create`.

    >>> with Workspace.create() as workspace:
    ...     docker = docker_for(workspace)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @classmethod
    def create(cls) -> Workspace:
        """Make one, and remove those that were abandoned."""
        cls.sweep()
        # Locked before it has the name that a sweep looks for.
        path = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=ROOT))
        path.chmod(0o755)
        workspace = cls(path)
        workspace._lock = _try_lock(path)
        workspace.path = path.rename(path.with_name(path.name[1:]))
        return workspace

    @classmethod
    def sweep(cls) -> None:
        """Remove what killed runs have left on this machine."""
        for path in ROOT.glob(f"{PREFIX}*"):
            lock = _try_lock(path)
            if lock is not None:
                abandoned = cls(path)
                abandoned._lock = lock
                abandoned.destroy()

    @property
    def label(self) -> str:
        """The label of every container and image that belongs here."""
        return f"{LABEL}={self.path.name}"

    @property
    def bridge(self) -> str:
        """The name of the network bridge of a docker daemon that belongs here."""
        return f"otto-{self.path.name.rpartition('.')[2]}"

    def environ(self) -> dict[str, str]:
        """The environment for a daemon that belongs here."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            MARK: str(self.path),
        }

    def directory(self, name: str, mode: int = 0o755) -> Path:
        """A directory below this one, made when it is not there."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return path

    def owns(self, pid: int) -> bool:
        """Whether this process, not one that has its number by now, is a daemon that belongs here."""
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        # An sshd writes its title over its environment.
        by_title = title.startswith(b"sshd: ") and f" {self.path}/".encode() in title
        return by_title or f"{MARK}={self.path}".encode() in environ.split(b"\0")

    def destroy(self) -> None:
        """End and remove everything that belongs here. Twice is once."""
        if not self.path.exists():
            return
        from .dockerd import empty_docker  # they know each other

        empty_docker(self)
        users = [entry for entry in pwd.getpwall() if entry.pw_gecos == str(self.path)]
        uids = {user.pw_uid for user in users}
        kill_all(lambda: with_descendants({pid for pid in pids() if owner(pid) in uids or self.owns(pid)}))
        for user in users:
            subprocess.run(["userdel", "--force", user.pw_name], check=False, capture_output=True)
        for bridge in self._bridges() & set(os.listdir("/sys/class/net")):
            subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
        for mount in sorted(self._mounts(), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _mounts(self) -> list[str]:
        rows = Path("/proc/self/mountinfo").read_text().splitlines()
        return [row.split()[4] for row in rows if row.split()[4].startswith(f"{self.path}/")]

    def _bridges(self) -> set[str]:
        store = self.path / "dockerd/data/network/files/local-kv.db"
        found = (
            re.findall(rb"docker/network/v1\.0/network/([0-9a-f]{12})", store.read_bytes()) if store.exists() else []
        )
        return {self.bridge, *(f"br-{network.decode()}" for network in found)}

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.destroy()


def _try_lock(directory: Path) -> int | None:
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
