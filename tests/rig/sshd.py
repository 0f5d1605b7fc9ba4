"""The sandbox's sshd, with what only tests do to one."""

from __future__ import annotations

from pathlib import Path

from otto_docker_sync._sandbox import Sshd as SandboxSshd
from otto_docker_sync._sandbox.processes import alive, kill_all, stop_daemon, with_descendants


class Sshd(SandboxSshd):
    """An sshd that can be stopped, started again, and reached through a proxy.

    >>> sshd.also_known_on(proxy.port)
    """

    def also_known_on(self, port: int) -> None:
        """Add its key to known_hosts for another port, for example that of a proxy."""
        with self.known_hosts.open("a") as file:
            file.write(f"[{self.host}]:{port} {self.host_key}\n")

    def stop(self) -> None:
        """End the listener, every login that came through it and all that these run. Idempotent."""
        if alive(self.pid):
            # Looked up before the listener ends: its orphans cannot be told apart from strangers afterwards.
            everything = with_descendants({self.pid})
            stop_daemon(self.pid)
            kill_all(lambda: with_descendants(everything))

    def logins(self) -> set[int]:
        """The pid of the sshd process that serves each present connection."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return {int(pid) for pid in children.read_text().split()} if children.exists() else set()
