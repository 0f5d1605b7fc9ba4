"""The machine's docker daemon when it runs, else one of our own that touches nothing of the machine's."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .processes import SandboxError, program, start_daemon, stop_daemon, wait_ready
from .workspace import LABEL, Workspace

SETTINGS = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""Variables by which a user's docker client finds a daemon that is not the ordinary one."""

CONTAINERD_CONFIG = """\
version = 2
root = "{0}/containerd"
state = "{0}/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{0}/containerd.sock"
"""


@dataclass(frozen=True)
class Docker:
    """A docker daemon, and the docker client that talks to it.

    ``environ`` is what a client needs to find it; empty for the one that it finds by itself.

    >>> docker("ps", "-q")
    ''
    """

    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Run a docker command and return what it wrote on stdout. Raises `SandboxError` when it fails."""
        done = self.run(*args, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise SandboxError(
                f"docker {' '.join(args)}: {(done.stderr + done.stdout).decode(errors='replace').strip()}"
            )
        return done.stdout.decode(errors="replace").strip()

    def run(self, *args: str, stdin: bytes | None = None, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a docker command, whatever comes of it."""
        return subprocess.run(
            [program("docker", "docker.io"), *args],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env={**os.environ, **self.environ},
            timeout=timeout,
            check=False,
        )

    def answers(self) -> bool:
        """Whether there is a client, and a daemon that talks to it."""
        try:
            return self.run("version", "--format", "{{.Server.Version}}", timeout=20).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    @property
    def socket(self) -> Path | None:
        """The daemon's unix socket; None when it is reached in another way."""
        address = self.environ.get("DOCKER_HOST", os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        return Path(address.removeprefix("unix://")) if address.startswith("unix://") else None


def docker_for(workspace: Workspace, *, private: bool = False) -> Docker:
    """The docker daemon of this machine; where none runs, or with `private`, one of the workspace's own."""
    machine = Docker({name: os.environ[name] for name in SETTINGS if name in os.environ})
    if not private and machine.answers():
        return machine
    own = _own(workspace)
    if not own.answers():
        _start(workspace, own)
    return own


def _own(workspace: Workspace) -> Docker:
    return Docker({"DOCKER_HOST": f"unix://{workspace.path}/dockerd/docker.sock"})


def _start(workspace: Workspace, own: Docker) -> None:
    if os.geteuid():
        raise SandboxError("no docker daemon runs here that this user may use, and only root can start one")
    base = workspace.directory("dockerd", 0o711)
    config = base / "containerd.toml"
    config.write_text(CONTAINERD_CONFIG.format(base))
    environ = workspace.environ()
    # A containerd of our own: dockerd would take the machine's, alive or not, if its socket is there.
    log = base / "containerd.log"
    containerd = start_daemon([program("containerd", "containerd"), "--config", str(config)], log, environ)
    (base / "containerd.pid").write_text(str(containerd))
    wait_ready("containerd", containerd, (base / "containerd.sock").exists, log)
    ip = program("ip", "iproute2")
    subprocess.run([ip, "link", "add", "name", workspace.bridge, "type", "bridge"], check=True)
    log = base / "dockerd.log"
    settings = base / "daemon.json"
    settings.write_text("{}")
    dockerd = start_daemon(
        [
            program("dockerd", "docker.io"),
            f"--host={own.environ['DOCKER_HOST']}",
            f"--containerd={base}/containerd.sock",
            f"--data-root={base}/data",
            f"--exec-root={base}/run",
            f"--pidfile={base}/dockerd.pid",
            f"--config-file={settings}",
            # The packet filter, forwarding and docker0 of this machine stay as they are; --bridge=none would remove it.
            f"--bridge={workspace.bridge}",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ],
        log,
        environ,
    )
    wait_ready("dockerd", dockerd, lambda: (base / "docker.sock").exists() and own.answers(), log)


def empty_docker(workspace: Workspace) -> None:
    """Remove the workspace's containers, networks and images, and stop the daemon that it owns."""
    base = workspace.path / "dockerd"
    docker = _own(workspace) if base.exists() else Docker()
    owned = [] if base.exists() else ["--filter", f"label={LABEL}={workspace.path.name}"]
    try:
        if docker.answers():
            for kind, remove in (
                (["ps", "--all"], ["rm", "--force", "--volumes"]),
                (["network", "ls", "--filter", "type=custom"], ["network", "rm"]),
                (["images"], ["rmi", "--force"]),
            ):
                found = docker.run(*kind, "--quiet", *owned).stdout.decode().split()
                if found:
                    docker.run(*remove, *found)
    except (SandboxError, subprocess.TimeoutExpired):
        pass  # no client, or a daemon that hangs: what is ours is killed below
    for name in ("dockerd.pid", "containerd.pid"):
        if (base / name).exists() and workspace.owns(pid := int((base / name).read_text())):
            stop_daemon(pid)
