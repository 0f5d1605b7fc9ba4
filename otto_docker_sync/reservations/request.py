"""What somebody asks for, and what a backend remembers of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace


@dataclass(frozen=True)
class Request:
    """A wish for tags, waiting or granted.

    `choices` are sets of tags, and `count` of them are wanted: an ordinary request has one choice, and a request for
    any two of five hosts has five. All of what is wanted is granted at one moment, or nothing.

    The second half is filled in by the backend. `fence` is 0 while the request waits.
    """

    id: str
    choices: tuple[tuple[str, ...], ...]
    count: int = 1
    shared: bool = False
    priority: int = 0
    ttl: float = 60.0
    owner: str = ""
    pid: int = 0
    run: str = ""
    reason: str = ""
    since: float = 0.0
    """When it was made, and once it is granted when that was: by the wall clock, for people only."""

    sequence: int = 0
    """Its place in the order of arrival."""
    fence: int = 0
    taken: tuple[int, ...] = ()
    """Which of the choices were granted."""
    forced: str = ""
    """Who ended it against its owner's will, and why."""

    @property
    def granted(self) -> bool:
        return self.fence > 0

    @property
    def mode(self) -> str:
        return "shared" if self.shared else "exclusive"

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it holds, or, while it waits, all that it may come to hold."""
        chosen = self.taken if self.granted else range(len(self.choices))
        return tuple(sorted({tag for index in chosen for tag in self.choices[index]}))

    @property
    def precedence(self) -> tuple[int, int]:
        """Sorts requests: a larger priority is first, then the earlier request."""
        return -self.priority, self.sequence

    def conflicts_with(self, other: Request) -> bool:
        """Whether the two cannot hold their tags at once."""
        return not (self.shared and other.shared) and not set(self.tags).isdisjoint(other.tags)

    def grant(self, fence: int, taken: Iterable[int], now: float) -> Request:
        """This request, granted."""
        return replace(self, fence=fence, taken=tuple(taken), since=now)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Request:
        """Read what `to_json` or a script wrote. Keys that a later version added are ignored."""
        known = {each.name for each in fields(cls)}
        values = {key: value for key, value in json.loads(text).items() if key in known}
        # Lua has one kind of table, and writes an empty list as {}.
        values["choices"] = tuple(tuple(tags) for tags in values["choices"])
        values["taken"] = tuple(values["taken"])
        return cls(**values)


@dataclass(frozen=True)
class Entry:
    """One line of `Lab.who`: a hold, or a request that waits.

    `tags` are held, or wanted; `mode` is ``"exclusive"`` or ``"shared"``; `owner` is ``user@machine`` and `pid` its
    process; `run` names the run that it belongs to (``OTTO_RUN_NAME``, or the job of a CI server), `reason` is its
    owner's text. `since` is the time of the grant, or of the request, in seconds since 1970 by the owner's clock.
    `place` is 0 for a hold; in the queue, 1 is next among those that want the same tags.
    """

    tags: tuple[str, ...]
    mode: str
    owner: str
    pid: int
    run: str
    reason: str
    since: float
    place: int

    def __str__(self) -> str:
        verb = "wanted" if self.place else "shared" if self.mode == "shared" else "held"
        text = f"{' '.join(self.tags)} {verb} by {self.owner}, process {self.pid}"
        text += f", run {self.run}" if self.run else ""
        return text + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Who:
    """Who holds what, and who waits for it, in the order in which they will be served."""

    holds: list[Entry] = field(default_factory=list)
    queue: list[Entry] = field(default_factory=list)
