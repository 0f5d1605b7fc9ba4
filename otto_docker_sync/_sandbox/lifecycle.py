"""Making a workspace, and removing it with everything that belongs to it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .dockerd import empty_docker
from .processes import kill_all, owner, pids, with_descendants
from .workspace import PREFIX, ROOT, Workspace


def create_workspace() -> Workspace:
    """Make a workspace. Those whose makers were killed are removed first."""
    sweep_workspaces()
    # Locked before it has the name that a sweep looks for: another run's sweep must not take it for abandoned.
    workspace = Workspace(Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=ROOT)))
    workspace.path.chmod(0o755)
    workspace.try_lock()
    workspace.path = workspace.path.rename(workspace.path.with_name(workspace.path.name[1:]))
    return workspace


@contextmanager
def temporary_workspace() -> Iterator[Workspace]:
    """A workspace for the duration of a ``with`` block.

    >>> with temporary_workspace() as workspace:
    ...     docker = docker_for(workspace)
    """
    workspace = create_workspace()
    try:
        yield workspace
    finally:
        destroy_workspace(workspace)


def sweep_workspaces() -> None:
    """Remove the workspaces of killed runs: nobody holds their locks any more."""
    for path in ROOT.glob(f"{PREFIX}*"):
        abandoned = Workspace(path)
        if abandoned.try_lock():
            destroy_workspace(abandoned)


def destroy_workspace(workspace: Workspace) -> None:
    """End and remove everything that belongs to the workspace, and its directory. Idempotent."""
    if not workspace.path.exists():
        return
    # Containers first, while the daemon that knows them lives; then every process, which holds mounts and bridges.
    empty_docker(workspace)
    users = [entry for entry in pwd.getpwall() if entry.pw_gecos == str(workspace.path)]  # the tests make users
    uids = {user.pw_uid for user in users}
    kill_all(lambda: with_descendants({pid for pid in pids() if owner(pid) in uids or workspace.owns(pid)}))
    for user in users:
        subprocess.run(["userdel", "--force", user.pw_name], check=False, capture_output=True)
    for bridge in _bridges(workspace) & set(os.listdir("/sys/class/net")):
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
    # An inner mount before the one that it is mounted on.
    for mount in sorted(_mounts(workspace), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(workspace.path, ignore_errors=True)
    workspace.unlock()


def _mounts(workspace: Workspace) -> list[str]:
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return [row.split()[4] for row in rows if row.split()[4].startswith(f"{workspace.path}/")]


def _bridges(workspace: Workspace) -> set[str]:
    """The names of the network bridges that the workspace's docker daemon made, and of its own."""
    store = workspace.path / "dockerd/data/network/files/local-kv.db"
    content = store.read_bytes() if store.exists() else b""
    networks = re.findall(rb"docker/network/v1\.0/network/([0-9a-f]{12})", content)
    return {workspace.bridge, *(f"br-{network.decode()}" for network in networks)}
