"""A hold of this process, as its user sees it, and the thread that keeps it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from ..deadline import Cancellation
from ..errors import ReservationError, ReservationLost
from ..limits import JOIN_TIME
from .backend import Backend, Lease, boot_time
from .request import Request
from .scheduler import blockers

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..host import Host

logger = logging.getLogger("otto_docker_sync.reservations")


class Interruption(Cancellation):
    """Interrupts what runs under a hold. It is cancelled from the moment of the loss, before any thread has noticed.

    So a process that was stopped for a while sends nothing more when it goes on.
    """

    def __init__(self, is_lost: Callable[[], bool], describe: Callable[[], str]) -> None:
        self._is_lost = is_lost
        self._describe = describe
        self._noticed = False
        super().__init__("the reservation was lost")

    @property
    def cancelled(self) -> bool:
        if not self._noticed and self._is_lost():
            self.reason = self._describe()
            return True
        return self._noticed

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self._noticed = value


class Reservation:
    """Tags that this process holds, until `release`, the end of the ``with`` block, or the end of the process.

    It owns a thread, which renews the hold and notices its loss: what runs on the hosts is then interrupted, and the
    next call of a verb on one of them raises `ReservationLost`, until the reservation is released. Made by
    `Lab.reserve` and `Lab.reserve_any`; any thread may use it.

    >>> with lab.reserve("carrot", wait=600, reason="nightly") as reservation:
    ...     lab.get("carrot").run("make flash").check()
    """

    def __init__(
        self,
        backend: Backend,
        lease: Lease,
        hosts: Sequence[Host],
        *,
        forget: Callable[[Reservation], object] | None = None,
    ) -> None:
        self.hosts: tuple[Host, ...] = tuple(hosts)
        """The hosts that were asked for, or that all tags of a host stand for."""
        self.lease = lease
        self.pid = os.getpid()
        self.request: Request = lease.request
        self.interruption = Interruption(lambda: bool(self._loss or lease.loss()), self.describe_loss)
        """Cancelled when the hold is lost; carried by every call on the hosts."""
        self._backend = backend
        self._followers: list[Callable[[Reservation], object]] = []
        self._forget = forget
        self._loss = ""
        self._released = False
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._keep, name=f"otto-reservation-{' '.join(self.tags)}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self.lost else "held"
        return f"<Reservation {' '.join(self.tags)} ({self.request.mode}), fence {self.fence}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are held, sorted."""
        return self.request.tags

    @property
    def shared(self) -> bool:
        """Whether others may hold the tags at the same time, who share them too."""
        return self.request.shared

    @property
    def fence(self) -> int:
        """A number that is larger than that of every earlier hold in this lab."""
        return self.request.fence

    @property
    def released(self) -> bool:
        """Whether it was released."""
        return self._released

    @property
    def lost(self) -> bool:
        """Whether the hold ended before it was released. Asks nobody."""
        return not self._released and bool(self._loss or self.lease.loss())

    def check(self) -> None:
        """Raise `ReservationLost` when the hold is lost; its text says why, and who has the tags now.

        >>> reservation.check()
        """
        if self.lost:
            raise ReservationLost(self.describe_loss())

    def describe_loss(self) -> str:
        what = f"the reservation of {' '.join(self.tags)} (fence {self.fence}) was lost"
        return f"{what}: {self._loss or self.lease.loss()}"

    def follow(self, follower: Callable[[Reservation], object]) -> None:
        """Call `follower` now, after each renewal, and when the hold is lost."""
        follower(self)
        self._followers.append(follower)

    def release(self) -> None:
        """Release the tags: the next in the queue gets them at once. Idempotent.

        Does not raise when the backend cannot be reached; the log then says so, and the hold ends by itself.

        >>> reservation.release()
        """
        with self._lock:
            if self._released:
                return
            self._released = True
        self._stop.set()
        if self.pid == os.getpid():  # a forked child has neither the thread nor the hold
            self._thread.join(JOIN_TIME)
            self._end_lease()
        if self._forget is not None:
            self._forget(self)

    def _keep(self) -> None:
        """Renew the hold until it is released or lost."""
        while not self._stop.wait(max(0.0, min(self.lease.interval, self.lease.valid_until - boot_time()))):
            self.lease.keep()
            if reason := self.lease.loss():
                self._lose(reason)
                return
            self._tell_followers()

    def _tell_followers(self) -> None:
        for follower in self._followers:
            follower(self)

    def _lose(self, reason: str) -> None:
        # First what runs: the time until somebody else may be granted the tags is short.
        self._loss = reason
        self.interruption.reason = self.describe_loss()
        self.interruption.cancel()
        self._tell_followers()
        # The backend learns that we have heard, if it is there to be told; then somebody else may have the tags.
        self._end_lease()
        with suppress(ReservationError):
            holders = [request for request in blockers(self._backend.requests(), self.request) if request.granted]
            if holders:
                self._loss = f"{reason}; now held by {holders[0].owner}, process {holders[0].pid}"
                self._loss += f" ({holders[0].reason})" if holders[0].reason else ""
        self.interruption.reason = self.describe_loss()
        self._tell_followers()
        logger.warning("%s", self.describe_loss())

    def _end_lease(self) -> None:
        try:
            self.lease.release()
        except ReservationError as error:
            logger.warning("%s; the hold of %s ends by itself", error, " ".join(self.tags))
