"""Who may hold what. Pure functions, and the same rule as in ``common.lua``.

The rule. Requests are looked at in the order of priority and arrival. One is granted when each of its tags is free for
its mode (nobody holds it, or all holders and the request share it), *and* no earlier request that still waits wants
such a tag in a mode that excludes it.

What follows from it:

- A large request does not starve: nobody who comes later, and wants one of its tags, is served before it.
- Requests that have no tag in common never wait for each other.
- Nothing deadlocks, since nothing is held in part.
- The first in the queue waits for holders only. So the queue moves whenever somebody releases.

A request that has a choice (any two of five hosts) counts, while it waits, as if it wanted all of its choices. Else one
that needs two could see the first freed one go to somebody else forever.
"""

from __future__ import annotations

from collections.abc import Iterable

from .request import Entry, Request, Who


class Claims:
    """The tags that are taken, by holders and by earlier requests that wait."""

    def __init__(self, granted: Iterable[Request]) -> None:
        self._shared: set[str] = set()
        self._exclusive: set[str] = set()
        for request in granted:
            self.add(request.tags, request.shared)

    def add(self, tags: Iterable[str], shared: bool) -> None:
        (self._shared if shared else self._exclusive).update(tags)

    def allow(self, tags: Iterable[str], shared: bool) -> bool:
        """Whether all these tags are free for this mode."""
        return self._exclusive.isdisjoint(tags) and (shared or self._shared.isdisjoint(tags))


def schedule(requests: Iterable[Request]) -> dict[str, tuple[int, ...]]:
    """Decide which waiting requests are granted now. Returns their ids, each with the choices that it gets.

    The ids come in the order in which the grants are made.
    """
    requests = list(requests)
    claims = Claims(request for request in requests if request.granted)
    grants: dict[str, tuple[int, ...]] = {}
    waiting = (request for request in requests if not request.granted)
    for request in sorted(waiting, key=lambda request: request.precedence):
        free = [index for index, tags in enumerate(request.choices) if claims.allow(tags, request.shared)]
        if len(free) >= request.count:
            taken = tuple(free[: request.count])
            grants[request.id] = taken
            for index in taken:
                claims.add(request.choices[index], request.shared)
        else:
            claims.add(request.tags, request.shared)
    return grants


def blockers(requests: Iterable[Request], request: Request) -> list[Request]:
    """Those for whom `request` waits: the holders first, then who is before it in the queue."""
    others = [other for other in requests if other.id != request.id and other.conflicts_with(request)]
    holders = [other for other in others if other.granted]
    earlier = [other for other in others if not other.granted and other.precedence < request.precedence]
    return sorted(holders, key=lambda other: other.fence) + sorted(earlier, key=lambda other: other.precedence)


def describe(requests: Iterable[Request]) -> Who:
    """The table of requests as people want to read it."""
    requests = list(requests)
    holds = sorted((request for request in requests if request.granted), key=lambda request: request.fence)
    queue = sorted((request for request in requests if not request.granted), key=lambda request: request.precedence)
    return Who([_entry(request, 0) for request in holds], [_entry(request, place(queue, request)) for request in queue])


def place(requests: Iterable[Request], request: Request) -> int:
    """The place in the queue: 1 is next among those that want the same tags."""
    return 1 + sum(not other.granted for other in blockers(requests, request))


def _entry(request: Request, place: int) -> Entry:
    return Entry(
        tags=request.tags,
        mode=request.mode,
        owner=request.owner,
        pid=request.pid,
        run=request.run,
        reason=request.reason,
        since=request.since,
        place=place,
    )
