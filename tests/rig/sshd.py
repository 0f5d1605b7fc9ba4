"""The sandbox's sshd, with what only tests do to one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otto_docker_sync._sandbox import Sshd as SandboxSshd
from otto_docker_sync._sandbox import sshd as sshd_module
from otto_docker_sync._sandbox.processes import alive, kill_all, program, stop_daemon, with_descendants


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


@contextmanager
def with_pam_rules(sshd: Sshd, rules: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Start an sshd again, with rules of PAM of its own; a link to its program is made in `directory`."""
    name = f"otto-test-{os.getpid()}"
    link = directory / name  # sshd takes the rules of PAM that its own name has
    link.symlink_to(program("sshd", "openssh-server"))
    service = Path("/etc/pam.d") / name
    sshd.stop()
    monkeypatch.setattr(sshd_module, "program", lambda *_: str(link))
    service.write_text(rules)
    try:
        sshd.start()
        yield sshd
    finally:
        service.unlink()
