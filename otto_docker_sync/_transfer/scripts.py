"""The scripts of a transfer: each stands in a ``.sh`` file beside this one, with what it does.

A script travels over stdin. What follows it there is its data; or nothing, and the end of stdin ends it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from .._channel.scripts import script
from ..limits import SOURCES_PER_CALL

STAGE_PREFIX = ".otto-docker."
"""How the name of a stage begins, beside the files that it is to replace."""


def receive_script(nonce: str, destination: str, tar_options: str, owner: str) -> str:
    """Take sources into the directory `destination`, for `owner` if that is not empty."""
    return script(
        __package__,
        "receive",
        nonce=nonce,
        destination=destination,
        stage_prefix=STAGE_PREFIX,
        tar_options=tar_options,
        owner=owner,
    )


def send_script(nonce: str, sources: Iterable[tuple[int, str]]) -> str:
    """Send numbered sources."""
    return script(__package__, "send", nonce=nonce) + _send_calls(sources) + "otto_wait_for_reader\n"


def sweep_script(nonce: str, destination: str, stage: str) -> str:
    """Remove a stage from the directory `destination`."""
    return script(__package__, "sweep", nonce=nonce, destination=destination, stage=stage)


def docker_cp_in_script(nonce: str, docker: Sequence[str], target: str, size: int) -> str:
    """Take `size` bytes of tar stream for ``docker cp`` to `target` (``container:path``)."""
    return script(__package__, "docker_cp_in", nonce=nonce, docker=shlex.join(docker), target=target, size=size)


def docker_cp_out_script(nonce: str, docker: Sequence[str], sources: Iterable[tuple[int, str]]) -> str:
    """Send numbered sources (``container:path``)."""
    return script(__package__, "docker_cp_out", nonce=nonce, docker=shlex.join(docker)) + _send_calls(sources)


def docker_cp_look_script(nonce: str, docker: Sequence[str], targets: Iterable[str]) -> str:
    """Send how the tar streams of `targets` (``container:path``) begin."""
    text = script(__package__, "docker_cp_look", nonce=nonce, docker=shlex.join(docker))
    return text + f"look {shlex.join(targets)}\nstop_watcher\nsay finished\n"


def inspect_script(nonce: str, docker: Sequence[str], container: str) -> str:
    """Send what docker knows of a container, as JSON."""
    return script(__package__, "inspect", nonce=nonce, docker=shlex.join(docker), container=container)


def path_test_script(path: str, operator: str) -> str:
    """Test a path, with an operator of ``test`` such as ``-e``."""
    return script(__package__, "path_test", path=path, operator=operator)


def path_script(name: str, nonce: str, path: str, **values: str) -> str:
    """One of the other scripts for a path, ``path_NAME.sh``."""
    return script(__package__, f"path_{name}", nonce=nonce, path=path, **values)


def path_write_script(nonce: str, path: str, size: int, way: str) -> str:
    """Take the content of a file. `way` is how it comes: ``raw`` or ``lines``."""
    return script(__package__, "path_write", nonce=nonce, path=path, size=size, way=way, stage_prefix=STAGE_PREFIX)


def _send_calls(sources: Iterable[tuple[int, str]]) -> str:
    words = [f"{number} {shlex.quote(path)}" for number, path in sources]
    calls = [words[start : start + SOURCES_PER_CALL] for start in range(0, len(words), SOURCES_PER_CALL)]
    return "".join(f"send {' '.join(call)}\n" for call in calls) + "stop_watcher\nsay finished\n"
