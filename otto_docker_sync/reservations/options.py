"""Where a lab's reservations are kept, as its lab file says it, and the backend for it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ..deadline import Timeout, timeout_seconds
from ..errors import ConfigError
from ..secret import Secret, register_secret, reveal
from .backend import Backend, without_password
from .file_backend import FileBackend


@dataclass(frozen=True)
class ReservationOptions:
    """Where a lab's reservations are kept, and what they are for.

    Args:
        backend: ``"file"`` (default): the processes of this machine and user. ``"file:/directory"``: those of this
            machine, in a directory that several users can write. ``"redis://server:6379/0"``, or ``"rediss://"`` for
            TLS: all machines that reach that server; needs the extra ``redis``.
        ttl: Seconds in which a hold in Redis ends that its process does not renew; default 60. The kernel ends a hold
            in files.
        required: Whether a verb on a host whose tags are not held raises `ReservationError`; default False.
        password: For Redis: a string, or a function that returns it when it is needed.

    >>> Lab("bench", hosts, reservations=ReservationOptions("redis://lab-redis:6379/0", required=True))
    """

    backend: str = "file"
    ttl: float = 60.0
    required: bool = False
    password: Secret = None

    def __post_init__(self) -> None:
        check_ttl(self.ttl)
        if not isinstance(self.backend, str) or not self.backend.startswith(
            ("file", "redis://", "rediss://", "unix://")
        ):
            raise ConfigError(
                f"reservations: backend={self.backend!r}: use 'file', 'file:/directory' or 'redis://server:6379/0'"
            )
        if self.backend.startswith("file") and not (self.backend == "file" or self.backend.startswith("file:/")):
            raise ConfigError(f"reservations: backend={self.backend!r}: use 'file', or 'file:' and an absolute path")
        register_secret(urlsplit(self.backend).password)
        register_secret(self.password)

    def __repr__(self) -> str:
        shown = without_password(self.backend)
        return f"ReservationOptions({shown!r}, ttl={self.ttl:g}, required={self.required})"


def make_backend(options: ReservationOptions, lab: str) -> Backend:
    """The backend that the options name. Connects nothing. Raises `ConfigError` when its extra is not installed."""
    folder = quote(lab, safe=" ") or "lab"
    if options.backend == "file":
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return FileBackend(Path(state, "otto-docker", "reservations", folder))
    if options.backend.startswith("file:"):
        return FileBackend(Path(options.backend.removeprefix("file:"), folder), shared=True)
    try:
        from .redis_backend import RedisBackend
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"reservations in Redis need {missing.name}, which is not installed: pip install 'otto-docker-sync[redis]'"
        ) from None
    password = options.password
    return RedisBackend(options.backend, lab, password=None if password is None else lambda: reveal(password) or "")


def check_ttl(ttl: Timeout) -> float:
    """The ttl in seconds. Raises `ConfigError` unless it is a finite number above 0."""
    seconds = None
    if not isinstance(ttl, bool):
        try:
            seconds = timeout_seconds(ttl)
        except ConfigError:
            seconds = None
    if not seconds or not math.isfinite(seconds):
        raise ConfigError(f"ttl={ttl!r}: use seconds, more than 0")
    return seconds
