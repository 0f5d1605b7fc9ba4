"""The images of the tests, made of this machine's own programs."""

from __future__ import annotations

import os
from collections.abc import Callable

from otto_docker_sync._sandbox.images import RootFilesystem, busybox_binary, busybox_root
from otto_docker_sync._sandbox.processes import program

DASH_TOOLS = ("sleep",)
BASH_TOOLS = (
    "awk base64 basename cat chgrp chmod chown cmp comm cp cut date dd df diff dirname du env expand expr false "
    "find fold getent grep groups head hostname id kill ln ls md5sum mkdir mkfifo mktemp mount mv nice nohup "
    "nproc od paste printenv printf ps pwd readlink realpath rm rmdir sed seq setsid sha256sum shuf sleep sort "
    "setpriv split stat stdbuf stty sync tac tail tar tee test timeout touch tr true truncate tty uname uniq wc whoami "
    "xargs yes"
).split()


def _dash_root() -> bytes:
    root = RootFilesystem()
    root.add_program("bin/sh", program("dash", "dash"))
    for tool in DASH_TOOLS:
        root.add_program(f"bin/{tool}", program(tool, "coreutils"))
    return root.close()


def _bash_root() -> bytes:
    root = RootFilesystem()
    root.add_program("bin/bash", program("bash", "bash"))
    root.add_link("bin/sh", "bash")
    for tool in BASH_TOOLS:
        root.add_program(f"bin/{tool}", os.path.realpath(program(tool, f"the package that has {tool}")))
    return root.close()


def _noshell_root() -> bytes:
    root = RootFilesystem()
    root.add_program("bin/sleep", busybox_binary())  # by this name it is nothing but sleep
    return root.close()


ROOTS: dict[str, Callable[[], bytes]] = {
    "busybox": busybox_root,
    "dash": _dash_root,
    "bash": _bash_root,
    "noshell": _noshell_root,
}
"""What makes the root file system of each kind of image.

busybox   ash, and all applets
dash      dash as sh, and sleep; nothing else
bash      bash as sh, with the usual tools
noshell   one static binary: sleep
"""
