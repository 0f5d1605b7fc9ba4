"""A throwaway user of this machine."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from otto_docker_sync._sandbox import Docker, SandboxError, Workspace


@dataclass(frozen=True)
class Account:
    """An ordinary user who may use docker and log in with `password`. Removed with the workspace."""

    name: str
    uid: int
    password: str
    home: Path

    @classmethod
    def create(cls, workspace: Workspace, worker: str, docker: Docker) -> Account:
        if os.geteuid():
            raise SandboxError("the tests make users, daemons and mounts: run them as root, on a machine of their own")
        suffix = workspace.path.name.rpartition(".")[2].replace("_", "0")
        name = f"otto-{worker}-{suffix}"
        password = secrets.token_hex(8)
        home = workspace.directory(f"home-{worker}")
        groups = ["--groups", group] if (group := _docker_group(docker)) else []
        hashed = _command("openssl", "passwd", "-6", "-stdin", stdin=password).strip()
        _command(
            *("useradd", "--no-create-home", "--home-dir", str(home), "--shell", "/bin/bash"),
            *("--comment", str(workspace.path), "--password", hashed, *groups, name),
        )
        entry = pwd.getpwnam(name)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        home.chmod(0o700)
        return cls(name, entry.pw_uid, password, home)


def _docker_group(docker: Docker) -> str | None:
    """The group that may use the daemon's unix socket; None when the daemon is reached another way."""
    address = docker.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return None
    return grp.getgrgid(Path(address.removeprefix("unix://")).stat().st_gid).gr_name


def _command(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"{argv[0]}: {done.stderr.strip()}")
    return done.stdout
