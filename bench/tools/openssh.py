"""OpenSSH's client, and pexpect on top of it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from bench.target import Target

from .base import Marker, Session, Tool, load
from .terminal import Terminal


class OpenSSH(Tool):
    """``ssh`` and ``scp`` over one connection that stays open (ControlMaster)."""

    name = "OpenSSH"

    def __init__(self, target: Target, stack: ExitStack) -> None:
        super().__init__(target, stack)
        self.control = f"{target.directory}/mux{target.port}-{id(self):x}"
        subprocess.run(
            ["ssh", *options(target), "-M", "-S", self.control, "-f", "-N", target.host], check=True, timeout=60
        )
        stack.callback(self._ssh_control, "exit")

    def _ssh_control(self, order: str) -> None:
        argv = ["ssh", "-S", self.control, "-O", order, self.target.host]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)

    def ssh(self, *arguments: str) -> list[str]:
        return ["ssh", *options(self.target), "-S", self.control, *arguments]

    def open_session(self, number: int = 0) -> Session:
        command = self.docker_exec("-it", container=self.container_of(number))
        return Terminal(self.ssh("-tt", self.target.host, shlex.join(command)), {"TERM": "dumb"})

    def oneshot(self, command: str) -> bytes:
        argv = self.ssh(self.target.host, shlex.join([*self.docker_exec("-i"), "-c", command]))
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=300)
        return done.stdout

    def on_parent(self, command: str) -> None:
        argv = self.ssh(self.target.host, command)
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=300)

    def put(self, sources: Sequence[Path], directory: str) -> None:
        stage = self.new_stage()
        self._scp(*map(str, sources), f"{self.target.host}:{stage}")
        self.stage_to_container(stage, directory)

    def get(self, sources: Sequence[str], directory: Path) -> None:
        stage = self.new_stage()
        self.container_to_stage(sources, stage)
        self._scp(f"{self.target.host}:{stage}/*", str(directory))
        self.on_parent(f"rm -rf {stage}")

    def _scp(self, *arguments: str) -> None:
        argv = ["scp", "-q", "-r", *options(self.target), "-o", f"ControlPath={self.control}", *arguments]
        subprocess.run(argv, capture_output=True, check=True, timeout=300)


def options(target: Target) -> list[str]:
    """What ``ssh`` and ``scp`` need to log in, and to read no file of this machine's user."""
    settings = {
        "Port": target.port,
        "User": target.user,
        "IdentityFile": target.identity_file,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": target.known_hosts,
        "BatchMode": "yes",
    }
    return ["-F", "none", *(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))]


class OpenSSHAlone(Tool):
    """``ssh -tt`` with a connection for each session."""

    name = "OpenSSH"

    def open_session(self, number: int = 0) -> Session:
        command = shlex.join(self.docker_exec("-it", container=self.container_of(number)))
        argv = ["ssh", *options(self.target), "-tt", self.target.host, command]
        return Terminal(argv, {"TERM": "dumb"})


class PexpectSession(Session):
    """A shell that pexpect drives."""

    def __init__(self, spawn: Any) -> None:
        self._spawn = spawn

    def run(self, command: str) -> bytes:
        marker = Marker()
        self.wait_for(f"{command}; {marker.command}", marker.shown)
        output: bytes = self._spawn.before
        return output

    def wait_for(self, command: str, marker: str) -> None:
        self._spawn.sendline(command)
        self._spawn.expect_exact(marker, timeout=600)

    def close(self) -> None:
        self._spawn.close(force=True)


class Pexpect(OpenSSH):
    """pexpect, with ``ssh -tt`` below it."""

    name = "pexpect"
    package = "pexpect"
    settings: ClassVar[dict[str, Any]] = {}
    delay: ClassVar[float | None] = 0.05
    """What it waits before it sends a line."""

    def open_session(self, number: int = 0) -> Session:
        command = shlex.join(self.docker_exec("-it", container=self.container_of(number)))
        argv = self.ssh("-tt", self.target.host, command)
        spawn = load("pexpect").spawn(argv[0], argv[1:], **self.settings)
        spawn.delaybeforesend = self.delay
        return PexpectSession(spawn)


class PexpectTuned(Pexpect):
    """The same, where its user has set the options that matter."""

    name = "pexpect, tuned"
    settings: ClassVar[dict[str, Any]] = {"searchwindowsize": 4096, "maxread": 65536}
    delay = None
