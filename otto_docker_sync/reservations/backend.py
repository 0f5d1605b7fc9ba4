"""What keeps the table of requests: the protocol of all backends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from ..deadline import Deadline
from .request import Request

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps.

    ``time.monotonic`` stands still during a suspend on Linux: a holder that wakes up would believe in its hold.
    """
    return time.clock_gettime(_CLOCK)


def without_password(url: str) -> str:
    """The URL of a backend as it may be shown.

    >>> without_password("redis://me:hunter2@lab-redis:6379/0")
    'redis://me@lab-redis:6379/0'
    """
    parts = urlsplit(url)
    if parts.password is None:
        return url
    place = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=user + place))


class Lease(ABC):
    """One request at a backend, for as long as somebody stands behind it.

    The thread that made it waits for it; afterwards one thread keeps it, and any thread may ask `loss`.
    """

    interval: float
    """Seconds between two calls of `keep`."""

    table_id: str
    """Which table of requests it is in. The fences of two tables have nothing to do with each other."""

    @property
    @abstractmethod
    def request(self) -> Request:
        """The request as the backend last reported it."""

    @property
    @abstractmethod
    def valid_until(self) -> float:
        """By `boot_time`: the hold is lost then, unless `keep` moves it on. Infinity where it does not end so."""

    @property
    def obstacle(self) -> str:
        """Return what keeps the request waiting, besides other requests; '' if there is nothing."""
        return ""

    @abstractmethod
    def wait(self, deadline: Deadline) -> bool:
        """Wait until the request is granted. Returns whether it is; False when the deadline came first."""

    @abstractmethod
    def keep(self) -> None:
        """Renew the hold. Does not raise when the backend is away: `valid_until` then stays where it is."""

    @abstractmethod
    def loss(self) -> str:
        """Why the hold is lost; empty while it is not. Quick: asked before each verb, and answered on this machine.

        A holder counts itself lost before the backend lets anybody else have its tags.
        """

    @abstractmethod
    def release(self) -> None:
        """Release the hold, or withdraw the request. Idempotent.

        Raises `ReservationError` when the backend cannot be reached; then the hold ends by itself.
        """


@dataclass(frozen=True)
class Finding:
    """What a backend reports of itself to ``otto-docker doctor``."""

    check: str
    verdict: str
    """``"ok"``, ``"note"`` or ``"wrong"``."""
    found: str
    advice: str = ""


class Backend(ABC):
    """Where a lab's requests are kept. Any thread may call; a forked child may not use its parent's leases."""

    name: str
    """As the lab file names it, without a password."""

    @abstractmethod
    def submit(self, request: Request, deadline: Deadline) -> Lease:
        """Enter a request, which may be granted at once. Raises `ReservationError` when the backend cannot take it."""

    @abstractmethod
    def requests(self) -> list[Request]:
        """All requests, of all processes. Raises `ReservationError`."""

    @abstractmethod
    def force(self, request_ids: list[str], text: str) -> None:
        """Take holds away. `text` says who does it and why; their owners get to read it."""

    @abstractmethod
    def examine(self) -> list[Finding]:
        """Look whether the backend can be relied on. Does not raise."""

    @abstractmethod
    def close(self) -> None:
        """Close connections. Idempotent; use after it opens them again."""
