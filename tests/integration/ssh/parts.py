"""What the tests of SSH connections share."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from otto_docker_sync._channel.base import Channel
from otto_docker_sync._ssh import Connections, SSHOptions
from otto_docker_sync.deadline import Deadline
from tests.rig.sshd import Sshd


class Ended(NamedTuple):
    out: bytes
    err: bytes
    status: int | None


def drain(channel: Channel, timeout: float = 20) -> Ended:
    """Read a channel to its end."""
    deadline = Deadline.after(timeout)
    out, err = [], []
    while not (chunk := channel.read(deadline)).ended:
        out.append(chunk.out)
        err.append(chunk.err)
    return Ended(b"".join(out), b"".join(err), channel.exit_status(deadline))


def run(connections: Connections, command: str, timeout: float = 20, **arguments: Any) -> Ended:
    """Run one command to its end."""
    channel = connections.open_channel(command, deadline=Deadline.after(timeout), **arguments)
    try:
        return drain(channel, timeout)
    finally:
        channel.close()


def read_until(channel: Channel, text: bytes, timeout: float = 20) -> bytes:
    """Read until stdout holds `text`."""
    deadline = Deadline.after(timeout)
    seen = b""
    while text not in seen:
        chunk = channel.read(deadline)
        assert not chunk.ended, seen
        seen += chunk.out
    return seen


def options_for(sshd: Sshd, **changes: Any) -> SSHOptions:
    """Options that reach `sshd`, and depend on nothing of the user who runs the tests."""
    usual = {
        "identity_file": sshd.identity_file,
        "known_hosts": sshd.known_hosts,
        "config_file": "",
        "allow_agent": False,
    }
    return SSHOptions(**{**usual, **changes})


class InThread:
    """A call in a thread of its own, and how it ended."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self.value = call()
        except BaseException as error:
            self.error = error

    def join(self, timeout: float = 20) -> InThread:
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "it hangs"
        return self


@contextmanager
def ssh_agent(directory: Path, *keys: Path) -> Any:
    """A real ssh-agent that holds `keys`."""
    socket = directory / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        for key in keys:
            subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True, stdin=subprocess.DEVNULL)
        yield str(socket)
    finally:
        agent.terminate()
        agent.communicate()
