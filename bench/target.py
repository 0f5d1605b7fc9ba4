"""What everything is measured on: the rig of the tests, with an sshd whose logins read no start-up file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from otto_docker_sync._sandbox import Docker, temporary_workspace
from tests.rig.proxy import Proxy
from tests.rig.rig import WORKSPACE, Rig

SMALL_FILES = 200
SMALL_SIZE = 1024
LINK_DELAY = 0.1
"""Seconds that the slow link adds to a round trip: enough to stand out from what else differs from turn to turn."""


@dataclass(frozen=True)
class Target:
    """The containers and the sshd to use. It passes through JSON, for processes of their own."""

    host: str
    port: int
    user: str
    identity_file: str
    known_hosts: str
    sshd_pid: int
    container: str
    """A container with busybox."""
    crowd: list[str]
    """Further ones of its kind."""
    environ: dict[str, str]
    """What the docker client of this machine needs."""
    stage: str
    """A directory of the parent into which the login may write."""
    directory: str
    """A directory of this side, for whatever is made here."""
    fast_port: int = 0
    """Where the sshd is reached through a proxy that delays nothing."""
    slow_port: int = 0
    """Where it is reached over the slow link."""

    @property
    def docker(self) -> Docker:
        """The docker client of this machine, which is also the parent."""
        return Docker(self.environ)

    @property
    def path(self) -> Path:
        return Path(self.directory)

    @property
    def small_files(self) -> Path:
        """A directory with small files."""
        return self.path / "small"

    def on_port(self, port: int) -> Target:
        """The same, reached another way."""
        return replace(self, port=port)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def end_leftovers(self) -> None:
        """Restart the container: several tools leave processes in it, and the next line would have to pay for them."""
        self.docker("restart", "--time", "0", self.container)

    def in_container(self, command: str) -> str:
        """Run a command in the container, past everything that is measured."""
        return self.docker("exec", "-i", self.container, "sh", "-c", command, timeout=300)


@contextmanager
def make_target(crowd: int) -> Iterator[Target]:
    """Start the rig, with `crowd` further containers, and remove it afterwards."""
    with temporary_workspace() as workspace:
        outer = os.environ.get(WORKSPACE)
        os.environ[WORKSPACE] = str(workspace.path)
        try:
            rig = Rig("bench")
            sshd = rig.sshd("stock", {})
            stage = workspace.directory("stage")
            os.chown(stage, rig.account.uid, -1)
            with Proxy(sshd.port) as fast, Proxy(sshd.port) as slow:
                slow.delay(LINK_DELAY / 2)
                for proxy in (fast, slow):
                    sshd.also_known_on(proxy.port)
                target = Target(
                    sshd.host,
                    sshd.port,
                    sshd.user,
                    str(sshd.identity_file),
                    str(sshd.known_hosts),
                    sshd.pid,
                    rig.container("busybox").id,
                    [rig.container("busybox").id for _ in range(crowd)],
                    dict(rig.environ),
                    str(stage),
                    str(workspace.directory("files")),
                    fast.port,
                    slow.port,
                )
                _make_files(target)
                yield target
        finally:
            if outer is None:
                del os.environ[WORKSPACE]
            else:
                os.environ[WORKSPACE] = outer


def _make_files(target: Target) -> None:
    make_small_files(target.small_files, SMALL_FILES)
    # Lines of text, as a log has them. A tty adds a byte to each.
    line = "123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    target.in_container(
        f"i=0; while [ $i -lt 1024 ]; do echo '{line}'; i=$((i+1)); done >/tmp/64k; "
        "i=0; while [ $i -lt 16 ]; do cat /tmp/64k; i=$((i+1)); done >/tmp/1m; "
        "i=0; while [ $i -lt 100 ]; do cat /tmp/1m; i=$((i+1)); done >/tmp/100m; "
        "mkdir /tmp/small; i=0; "
        f"while [ $i -lt {SMALL_FILES} ]; do head -c {SMALL_SIZE} /tmp/64k >/tmp/small/f$i; i=$((i+1)); done"
    )


def make_small_files(directory: Path, count: int) -> None:
    """Make a directory with `count` small files."""
    directory.mkdir()
    for number in range(count):
        (directory / f"f{number}").write_bytes(os.urandom(SMALL_SIZE))
