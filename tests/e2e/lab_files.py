"""A lab file for what runs in a process of its own: the rig's machine, and the stack of the examples."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.rig.sshd import Sshd

EXAMPLES = Path(__file__).parents[2] / "examples"

LAB = """\
name = "bench"

[hosts.carrot]
host = "{sshd.host}"
port = {sshd.port}
user = "{sshd.user}"
identity_file = "{sshd.identity_file}"
known_hosts = "{sshd.known_hosts}"

[projects.repo1]
compose_files = ["stack/compose.yml"]
default_host = "carrot"
services = ["api", "db"]
"""


def write_lab_file(directory: Path, sshd: Sshd, image: str) -> Path:
    """Write ``lab.toml`` like that of the examples, with the examples' own stack beside it, to run from `image`."""
    stack = directory / "stack"
    stack.mkdir(parents=True)
    shutil.copy(EXAMPLES / "stack" / "compose.yml", stack)
    (stack / ".env").write_text(f"STACK_IMAGE={image}\n")
    path = directory / "lab.toml"
    path.write_text(LAB.format(sshd=sshd))
    return path
