"""The table of requests, and what may be done to it. Pure: no files, no clock.

The file backend keeps one on disk. The redis backend keeps the same table in Redis, and its scripts are checked against
this one by random histories.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .request import Request
from .scheduler import schedule


@dataclass
class Table:
    """All requests of a lab.

    `sequence` and `fence` are counters that only rise. Every change takes `now`, in seconds since 1970: fences start
    there, in milliseconds, so that they rise even when the table was lost; nothing else depends on it.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    sequence: int = 0
    fence: int = 0
    version: int = 0
    """Counts the changes of a table that is kept in a file."""
    id: str = ""
    """Tells a table that is kept in a file from those of other directories and machines."""

    def submit(self, request: Request, now: float) -> None:
        """Add a request, unless it is there already: the answer to the first call may have been lost."""
        if request.id not in self.requests:
            self.sequence += 1
            self.requests[request.id] = replace(request, sequence=self.sequence)
            self.grant(now)

    def remove(self, request_id: str, now: float) -> None:
        """Remove a request that is released, cancelled, or whose owner is dead. Idempotent."""
        if self.requests.pop(request_id, None) is not None:
            self.grant(now)

    def force(self, request_id: str, text: str) -> None:
        """Mark a hold as ended against its owner's will. It still blocks others until its owner has noticed."""
        request = self.requests.get(request_id)
        if request is not None and request.granted and not request.forced:
            self.requests[request_id] = replace(request, forced=text)

    def grant(self, now: float) -> None:
        """Grant what can be granted."""
        for request_id, taken in schedule(self.requests.values()).items():
            self.fence = max(self.fence + 1, int(now * 1000))
            self.requests[request_id] = self.requests[request_id].grant(self.fence, taken, now)
