"""Removes what a put, or a write, has left in its destination because its script was killed there.

A script removes its stage itself, also when its client is gone. One that was killed with SIGKILL cannot: out of memory,
say, or with its container. So the client tries at once, and again before its next transfer with that host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from weakref import WeakKeyDictionary

from .._channel.backend import Backend
from ..deadline import Deadline, DeadlineExpired
from ..errors import OttoError
from ..limits import CLEAN_UP_TIME
from .script_channel import ScriptChannel
from .scripts import STAGE_PREFIX, sweep_script

_lock = Lock()
_left: WeakKeyDictionary[Backend, list[tuple[str, str]]] = WeakKeyDictionary()
"""The destinations in which a host has stages, and the nonces of these."""


@contextmanager
def stage_removed(backend: Backend, destination: str, script: ScriptChannel) -> Iterator[None]:
    """Remove the stage of `script` after the block if it was cut off, and could not do so itself."""
    try:
        yield
    finally:
        if script.was_cut:
            with _lock:
                _left.setdefault(backend, []).append((destination, script.nonce))
            sweep(backend)


def sweep(backend: Backend) -> None:
    """Remove the stages that are known to be left on a host. One that cannot be removed now stays noted."""
    with _lock:
        left = _left.pop(backend, [])
    limit = Deadline.grace(CLEAN_UP_TIME)
    for destination, nonce in left:
        if not _remove(backend, destination, f"{STAGE_PREFIX}{nonce}", limit):
            with _lock:
                _left.setdefault(backend, []).append((destination, nonce))


def _remove(backend: Backend, destination: str, stage: str, limit: Deadline) -> bool:
    try:
        with ScriptChannel.start(backend, lambda nonce: sweep_script(nonce, destination, stage), limit) as script:
            return script.next().word == "removed"
    except (OttoError, DeadlineExpired):
        return False
