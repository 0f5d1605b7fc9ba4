"""The machine's docker daemon if it runs, else one of our own that changes nothing on the machine."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

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
        """Run a docker command. A failure is in the result, not raised."""
        return subprocess.run(
            [program("docker", "docker.io"), *args],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            env={**os.environ, **self.environ},
            timeout=timeout,
            check=False,
        )

    def answers(self) -> bool:
        """Whether a docker client is installed and reaches its daemon."""
        try:
            return self.run("version", "--format", "{{.Server.Version}}", timeout=20).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def docker_for(workspace: Workspace) -> Docker:
    """The docker daemon of this machine, or the workspace's own where none runs."""
    machine = Docker({name: os.environ[name] for name in SETTINGS if name in os.environ})
    return machine if machine.answers() else private_docker(workspace)


def private_docker(workspace: Workspace) -> Docker:
    """The workspace's own docker daemon; started when it does not run."""
    docker = _private_client(workspace)
    if not docker.answers():
        _start(workspace, docker)
    return docker


def _private_client(workspace: Workspace) -> Docker:
    return Docker({"DOCKER_HOST": f"unix://{workspace.path}/dockerd/docker.sock"})


def _start(workspace: Workspace, docker: Docker) -> None:
    if os.geteuid():
        raise SandboxError(
            "no docker daemon on this machine answers to this user, and only root can start one:"
            " start docker, join the group docker, or run this as root"
        )
    base = workspace.directory("dockerd", 0o711)
    config = base / "containerd.toml"
    config.write_text(CONTAINERD_CONFIG.format(base))
    environ = workspace.environ()
    # With a containerd of our own: dockerd would use the machine's where its socket file exists, even a dead one.
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
            f"--host={docker.environ['DOCKER_HOST']}",
            f"--containerd={base}/containerd.sock",
            f"--data-root={base}/data",
            f"--exec-root={base}/run",
            f"--pidfile={base}/dockerd.pid",
            f"--config-file={settings}",
            # The machine's packet filter, forwarding and docker0 stay as they are. --bridge=none would remove docker0.
            f"--bridge={workspace.bridge}",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ],
        log,
        environ,
    )
    wait_ready("dockerd", dockerd, lambda: (base / "docker.sock").exists() and docker.answers(), log)


def empty_docker(workspace: Workspace) -> None:
    """Remove the workspace's containers, networks and images, and stop the docker daemon that it owns."""
    base = workspace.path / "dockerd"
    docker = _private_client(workspace) if base.exists() else Docker()
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
        pass  # no client, or a daemon that hangs: the daemon is killed below
    for name in ("dockerd.pid", "containerd.pid"):
        if (base / name).exists() and workspace.owns(pid := int((base / name).read_text())):
            stop_daemon(pid)
