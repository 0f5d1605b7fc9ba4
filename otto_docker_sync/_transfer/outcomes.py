"""The account of one transfer: what became of each source, and how far each is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost, OttoError
from ..result import FileProgress, FileResult, Status, TransferResult

Progress = Callable[[FileProgress], object]

PROGRESS_EVERY = 0.1
"""Seconds between two reports on one source."""


@dataclass
class Item:
    """One source of a transfer: ``total`` is None while nobody knows it."""

    number: int
    source: str
    destination: str
    total: int | None = None
    done: int = 0
    reported_at: float = field(default_factory=monotonic)


class Ledger:
    """What became of each source, and how far each is."""

    def __init__(self, host_id: str, progress: Progress | None, deadline: Deadline) -> None:
        self._host_id = host_id
        self._progress = progress
        self._deadline = deadline
        self._started_at = monotonic()
        self._items: dict[int, Item] = {}
        self._results: dict[int, FileResult] = {}
        self.begun = False
        """Whether the far end was reached, so that what happens from then on is an outcome."""

    def enter(self, source: str, destination: str) -> Item:
        number = len(self._items) + 1
        self._items[number] = Item(number, source, destination)
        return self._items[number]

    def unique(self, names: dict[int, str]) -> dict[int, str]:
        """Leave out, and settle, what would land where an earlier source lands."""
        first: dict[str, int] = {}
        for number, name in names.items():
            if first.setdefault(name, number) != number:
                other = self._items[first[name]].source
                self.settle(self._items[number], Status.FAILED, f"{other!r} has the same name")
        return {number: name for name, number in first.items()}

    def is_open(self, item: Item) -> bool:
        return item.number not in self._results

    def __getitem__(self, number: int) -> Item:
        return self._items[number]

    def settle(self, item: Item, status: Status, message: str = "", size: int = 0) -> None:
        if self.is_open(item):
            self._results[item.number] = FileResult(item.source, item.destination, status, size, message)
            if status is Status.SUCCESS:
                item.done = item.total = size
                self._report(item)

    def settle_all(self, status: Status, message: str) -> None:
        """Settle what is open."""
        for item in self._items.values():
            self.settle(item, status, message)

    def advance(self, number: int, size: int) -> None:
        item = self._items[number]
        item.done += size
        if self._progress is not None and monotonic() - item.reported_at >= PROGRESS_EVERY:
            self._report(item)

    def _report(self, item: Item) -> None:
        if self._progress is not None:
            item.reported_at = monotonic()
            self._progress(FileProgress(item.source, item.done, item.total))

    def result_of(self, transfer: Callable[[], None]) -> TransferResult:
        """Run a transfer, and turn what ended it into outcomes. What kept it from beginning is raised."""
        try:
            transfer()
        except DeadlineExpired:
            why = self._deadline.cancelled or "timed out"
            seconds = monotonic() - self._started_at
            self.settle_all(Status.ERROR, f"{why} after {seconds:.1f} s; it is not known to be in place")
        except ConnectionLost as error:
            self.settle_all(Status.ERROR, f"it is not known to be in place: {error}")
        except OttoError as error:
            if not self.begun:
                raise
            self.settle_all(Status.ERROR, str(error))
        return self.result()

    def result(self) -> TransferResult:
        self.settle_all(Status.ERROR, "the far end did not say what became of it")
        results = {item.source: self._results[item.number] for item in self._items.values()}
        return TransferResult(results, self._host_id)
