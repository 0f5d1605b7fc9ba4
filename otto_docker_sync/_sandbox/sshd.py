"""An sshd of our own on a free loopback port."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .processes import SandboxError, program, start_daemon, wait_ready
from .workspace import Workspace

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


class Sshd:
    """A real sshd with fresh keys and stock limits, into which one user may log in with one key.

    ``host``, ``port``, ``user``, ``identity_file`` and ``known_hosts`` are what a client needs. Logins get the
    environment `environ`, and ``home`` as their home directory, which is empty at first. `options` are lines of its
    configuration; ``{"Subsystem": None}`` leaves one out. The workspace owns it and stops it.

    >>> sshd = Sshd(workspace, user="root", environ=docker.environ, options={"MaxSessions": "1"})
    """

    host = "127.0.0.1"

    def __init__(
        self,
        workspace: Workspace,
        *,
        user: str | None = None,
        environ: Mapping[str, str] = {},
        options: Mapping[str, str | None] = {},
        name: str = "sshd",
    ) -> None:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
        self.user = entry.pw_name
        self._workspace = workspace
        self.directory = workspace.directory(name)
        self.home = self.directory / "home"
        self.identity_file = self.directory / "id_ed25519"
        self.known_hosts = self.directory / "known_hosts"
        self.log = self.directory / "sshd.log"
        self._host_key = self.directory / "host_key"
        self.home.mkdir(mode=0o700)
        os.chown(self.home, entry.pw_uid, entry.pw_gid)
        for key in (self.identity_file, self._host_key):
            make_key(key)
        authorized = self.directory / "authorized_keys"
        authorized.write_text(self.identity_file.with_suffix(".pub").read_text())
        variables = {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            **environ,
        }
        settings: dict[str, str | None] = {
            "ListenAddress": self.host,
            "HostKey": str(self._host_key),
            "PidFile": "none",
            "AuthorizedKeysFile": str(authorized),
            "StrictModes": "no",  # the workspace lies below a directory that everybody may write to
            "UsePAM": "no",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "Subsystem": f"sftp {_sftp_server()}",
            "SetEnv": " ".join(shlex.quote(f"{key}={value}") for key, value in variables.items()),
            **options,
        }
        self._settings = {key: value for key, value in settings.items() if value is not None}
        self.port = 0
        self.pid = 0
        self.start()

    @property
    def host_key(self) -> str:
        """The public host key, "type base64"."""
        return " ".join(self._host_key.with_suffix(".pub").read_text().split()[:2])

    def start(self) -> None:
        """Listen on a free port; when it has listened before, on the same one."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # OpenSSH's privilege separation wants it
        config = self.directory / "sshd_config"
        known_port = self.port
        while True:
            port = known_port or free_port()
            config.write_text("".join(f"{key} {value}\n" for key, value in {"Port": port, **self._settings}.items()))
            command = [program("sshd", "openssh-server"), "-D", "-e", "-f", str(config)]
            self.pid = start_daemon(command, self.log, self._workspace.environ())
            try:
                wait_ready("sshd", self.pid, lambda port=port: _listens(self.pid, port), self.log)  # type: ignore[misc]
            except SandboxError:
                if known_port or "in use" not in self.log.read_text():
                    raise
                continue  # another process took the port after `free_port` had released it
            self.port = port
            break
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {self.host_key}\n")


def make_key(path: Path, *args: str) -> Path:
    """Make a key pair with ssh-keygen and return `path`. Without `args` it is an unencrypted ed25519 key."""
    command = [program("ssh-keygen", "openssh-client"), "-q", "-f", str(path), *(args or ("-t", "ed25519", "-N", ""))]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SandboxError(f"{shlex.join(command)}: {done.stderr}{done.stdout}")
    return path


def free_port() -> int:
    """A loopback port that is free at this moment; another process may take it before the caller does."""
    with socket.socket() as probe:
        probe.bind((Sshd.host, 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(pid: int, port: int) -> bool:
    """Whether this process listens on the port, and not another that was quicker.

    Looked up in /proc, because sshd would count a connection among its unauthenticated ones.
    """
    address = f"0100007F:{port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == address and row[3] == "0A"}
    try:
        return bool(inodes & {os.readlink(f"/proc/{pid}/fd/{handle}") for handle in os.listdir(f"/proc/{pid}/fd")})
    except OSError:
        return False


def _sftp_server() -> str:
    for path in SFTP_SERVERS:
        if Path(path).exists():
            return path
    raise SandboxError("no sftp-server on this machine: apt-get install openssh-sftp-server")
