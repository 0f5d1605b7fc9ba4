"""A real telnetd on a free loopback port."""

from __future__ import annotations

import socket
from pathlib import Path

from otto_docker_sync._sandbox import SandboxError, Workspace
from otto_docker_sync._sandbox.processes import program, start_daemon, wait_ready
from otto_docker_sync._sandbox.sshd import free_port

from .account import Account


class Telnetd:
    """busybox's telnetd, with the machine's own login: `user` and `password` are the account's.

    Its logins have the environment that the account's ``.profile`` sets.
    """

    host = "127.0.0.1"

    def __init__(self, workspace: Workspace, account: Account, environ: dict[str, str]) -> None:
        if not Path("/bin/login").exists():
            raise SandboxError("no /bin/login on this machine: apt-get install login")
        self.user, self.password = account.name, account.password
        exports = "".join(f"export {name}='{value}'\n" for name, value in environ.items())
        (account.home / ".profile").write_text(exports)
        log = workspace.path / f"telnetd-{account.name}.log"
        while True:
            self.port = free_port()
            command = ["telnetd", "-F", "-b", f"{self.host}:{self.port}", "-l", "/bin/login"]
            self.pid = start_daemon([program("busybox", "busybox-static"), *command], log, workspace.environ())
            try:
                wait_ready("telnetd", self.pid, self._answers, log)
            except SandboxError:
                if "in use" not in log.read_text():
                    raise
            else:
                break

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 5).close()
        except ConnectionRefusedError:
            return False
        return True
