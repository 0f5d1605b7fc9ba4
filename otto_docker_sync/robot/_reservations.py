"""Keywords about reservations."""

from __future__ import annotations

from datetime import timedelta

from ..reservations import Reservation
from ._keyword import keyword
from ._stacks import StackKeywords


class ReservationKeywords(StackKeywords):
    """Keywords about reservations."""

    @keyword
    def reserve(
        self,
        *wanted: str,
        any_of: str | None = None,
        count: int = 1,
        shared: bool = False,
        wait: timedelta | None = None,
        priority: int = 0,
        reason: str = "",
    ) -> Reservation:
        """Reserve hosts or tags of the lab, see `Use Lab`; other runs that want the same wait. Returns the reservation.

        ``wanted`` are tags, or ids of hosts. ``any_of`` is a pattern instead, of which ``count`` hosts are taken,
        whichever are free first: their ids are in ``${reservation.hosts}``. ``shared`` lets others hold the tags too,
        who share them. After ``wait`` the keyword fails, and says who holds them; without it, it waits forever. Larger
        ``priority`` is served first. ``reason`` is for the others to read.

        | Use Lab | lab.toml |
        | Reserve | carrot   | wait=10 min | reason=nightly |
        """
        lab = self._lab()
        if any_of is not None:
            return lab.reserve_any(any_of, count, shared=shared, wait=wait, priority=priority, reason=reason)
        return lab.reserve(list(wanted), shared=shared, wait=wait, priority=priority, reason=reason)

    @keyword
    def release(self, reservation: Reservation) -> None:
        """Release what `Reserve` returned. The end of the run, and `Close All Connections`, release everything.

        | ${reservation} = | Reserve | carrot |
        | Release          | ${reservation} |
        """
        reservation.release()
