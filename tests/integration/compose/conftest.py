"""A bench: a lab file with a parent, over the real sshd, and a project: two services, one twice, or just one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from otto_docker_sync import Lab, UnixHost
from otto_docker_sync._sandbox import Docker
from tests.rig.compose import Compose
from tests.rig.rig import Rig
from tests.rig.sshd import Sshd

LAB = """
name = "bench"

[hosts.carrot]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
docker_command = [{docker}]

[hosts.plain]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"
docker_capable = false

[projects.repo1]
compose_files = ["docker/compose.yml"]
default_host = "carrot"
services = [{services}]
"""

API = """
services:
  api:
    image: {image}
    command: ["sh", "-c", "echo api speaks; exec sleep 600"]
    network_mode: none
    stop_signal: SIGKILL
    env_file: api.env
    volumes: ["./data:/data"]
"""

API_TWICE_AND_DB = (
    API
    + """
    deploy: {{replicas: 2}}
  db:
    build: {{context: ../db}}
    network_mode: none
    stop_signal: SIGKILL
"""
)


@dataclass
class Bench:
    """The files of a lab, in a directory of the test's own, and what docker knows of its one stack."""

    directory: Path
    docker: Docker
    docker_config: Path
    compose_project: str
    image: str
    _exits: ExitStack = field(default_factory=ExitStack)

    @property
    def compose_file(self) -> Path:
        return self.directory / "docker/compose.yml"

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the project, beside the compose file."""
        for name, text in files.items():
            path = self.compose_file.parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def write_services(self, services: Mapping[str, str], after: str = "") -> None:
        """Write a compose file: service → lines of its own; each has an image, no network, and dies when told."""
        lines = "    network_mode: none\n    stop_signal: SIGKILL\n"
        text = "".join(
            f"  {name}:\n    image: {self.image}\n" + (own if "network_mode" in own else lines + own)
            for name, own in services.items()
        )
        self.write({self.compose_file.name: f"services:\n{text}{after}"})

    def declare(self, *services: str) -> None:
        """Say which services are hosts before they run."""
        lab_file = self.directory / "lab.toml"
        listed = ", ".join(f'"{service}"' for service in services)
        lab_file.write_text(re.sub(r"services = \[.*\]", f"services = [{listed}]", lab_file.read_text()))

    def load(self) -> Lab:
        """One more lab of the same file, closed after the test."""
        return self._exits.enter_context(Lab.load(self.directory / "lab.toml"))

    def login(self, lab: Lab) -> dict[str, Any]:
        """What a further UnixHost needs to be the same machine as the parent."""
        carrot = lab.get("carrot")
        assert isinstance(carrot, UnixHost)
        return {"user": carrot.user, "port": carrot.port, "ssh": carrot.ssh}

    def containers(self, *options: str) -> list[str]:
        """Ids of the stack's running containers; with ``-a``, of all."""
        return self.docker("ps", "-q", "--no-trunc", *options, "--filter", self._mine).split()

    def id_of(self, service: str, number: int = 1) -> str:
        labels = {"service": service, "container-number": str(number), "oneoff": "False"}
        filters = [w for key, value in labels.items() for w in ("--filter", f"label=com.docker.compose.{key}={value}")]
        (found,) = self.containers(*filters)
        return found

    def start_by_hand(self, *options: str) -> None:
        """What a person does who knows nothing of us: with files of their own, on the machine itself."""
        environ = {**os.environ, **self.docker.environ, "DOCKER_CONFIG": str(self.docker_config)}
        where = ["-p", self.compose_project, "-f", str(self.compose_file)]
        command = ["docker", "compose", *where, "up", "--detach", "--build", *options]
        subprocess.run(command, env=environ, check=True, capture_output=True)

    @contextmanager
    def events(self, *kinds: str) -> Iterator[Iterator[str]]:
        """What happens to the stack's containers from now on, one kind after the other, as the daemon tells."""
        filters = [word for kind in kinds for word in ("--filter", f"event={kind}")]
        since = ["--since", f"{time.time():.6f}"]  # the client may listen only after the first of them
        command = ["docker", "events", *since, "--format", "{{.Action}}", "--filter", self._mine, *filters]
        environ = {**os.environ, **self.docker.environ}
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            try:
                yield (line.strip() for line in client.stdout)
            finally:
                client.kill()

    @property
    def _mine(self) -> str:
        return f"label=com.docker.compose.project={self.compose_project}"

    def run(self, program: str) -> subprocess.Popen[str]:
        """A further run: a process of its own that has loaded the lab. Killed after the test if it is still there."""
        preamble = f"from otto_docker_sync import *\nlab = Lab.load({str(self.directory / 'lab.toml')!r})\n"
        child = subprocess.Popen(
            [sys.executable, "-c", preamble + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._exits.callback(child.wait)
        self._exits.callback(child.kill)
        for stream in (child.stdin, child.stdout, child.stderr):
            assert stream is not None
            self._exits.callback(_close, stream)
        return child

    @staticmethod
    def said(run: subprocess.Popen[str]) -> str:
        """The next line that a run has printed."""
        assert run.stdout is not None and run.stderr is not None
        line = run.stdout.readline()
        assert line, f"the run ended:\n{run.stderr.read()}"
        return line.strip()

    @staticmethod
    def tell(run: subprocess.Popen[str]) -> None:
        """Let a run go on that waits in input()."""
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()

    def clean(self) -> None:
        self._exits.close()
        if left := self.containers("-a"):
            self.docker("rm", "--force", "--volumes", *left)
        for image in (f"{self.compose_project}-db", f"{self.compose_project}_db"):
            self.docker.run("image", "rm", "--force", image)
        for network in self.docker("network", "ls", "-q", "--filter", self._mine).split():
            self.docker("network", "rm", network)


def _close(stream: IO[str]) -> None:
    with suppress(BrokenPipeError):
        stream.close()


@pytest.fixture(params=["v2", "v1"])
def version(request: pytest.FixtureRequest) -> str:
    """Which Compose the parent has."""
    value: str = request.param
    return value


@pytest.fixture
def make_bench(
    tmp_path: Path, rig: Rig, sshd: Sshd, compose: Compose, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(version: str, *, small: bool = False) -> Bench:
        suffix = rig.unique(f"{rig.worker}-{os.getpid()}")
        monkeypatch.setenv("OTTO_COMPOSE_SUFFIX", suffix)
        monkeypatch.setenv("OTTO_COMPOSE_TEST", "value of ours")
        image = rig.image("busybox")
        bench = Bench(tmp_path, rig.docker, rig.docker_config, f"otto-repo1-{suffix}", image)
        made.append(bench)
        # Version 2 keeps notes on its builds beside the client's configuration, where the account may not write.
        setting = f"PATH={compose.v1}:/usr/bin:/bin" if version == "v1" else f"BUILDX_CONFIG={sshd.home}/buildx"
        docker = f'"env", "{setting}", "docker"'
        image = rig.image("busybox")
        files = {
            "lab.toml": LAB.format(sshd=sshd, docker=docker, services='"api"' if small else '"api", "api#2", "db"'),
            "docker/compose.yml": (API if small else API_TWICE_AND_DB).format(image=image),
            "docker/api.env": "FROM_FILE=yes\n",
            "docker/data/greeting": "hello\n",
            "db/Dockerfile": f'FROM {image}\nCOPY . /srv\nCMD ["sleep", "600"]\n',
            "db/.dockerignore": "*.key\n",
            "db/schema": "create\n",
            "db/private.key": "secret\n",
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return bench

    yield make
    for bench in made:
        bench.clean()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """The bench with one container, by Compose version 2."""
    return make_bench("v2", small=True)


@pytest.fixture
def either_bench(make_bench: Callable[..., Bench], version: str) -> Bench:
    """The same by each version of Compose."""
    return make_bench(version, small=True)


@pytest.fixture
def full_bench(make_bench: Callable[..., Bench]) -> Bench:
    """The bench with two services, one of them twice, the other built, by Compose version 2."""
    return make_bench("v2")


@pytest.fixture
def either_full_bench(make_bench: Callable[..., Bench], version: str) -> Bench:
    """The same by each version of Compose."""
    return make_bench(version)
