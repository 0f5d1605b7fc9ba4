"""The outcomes of one transfer: how each source ended, and its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost, OttoError
from ..limits import PROGRESS_EVERY
from ..result import FileProgress, FileResult, Status, TransferResult

Progress = Callable[[FileProgress], object]


@dataclass
class SourceState:
    """One source of a transfer, while it is under way. ``total`` is its size in bytes, None while nobody knows it."""

    number: int
    source: str
    destination: str
    total: int | None = None
    done: int = 0
    reported_at: float = field(default_factory=monotonic)


class Outcomes:
    """Collects the outcome of each source, and reports progress. The first outcome of a source is the one that counts.

    A source is known by its number, which begins at 1.
    """

    def __init__(self, host_id: str, progress: Progress | None, deadline: Deadline) -> None:
        self._host_id = host_id
        self._progress = progress
        self._deadline = deadline
        self._started_at = monotonic()
        self._states: dict[int, SourceState] = {}
        self._results: dict[int, FileResult] = {}
        self.begun = False
        """Whether the host was reached. Errors before that are raised; after it they are outcomes."""

    def add(self, source: str, destination: str) -> SourceState:
        """Add a source, with the path where it is to arrive."""
        number = len(self._states) + 1
        self._states[number] = SourceState(number, source, destination)
        return self._states[number]

    def drop_duplicates(self, names: dict[int, str]) -> dict[int, str]:
        """Return the sources (number and name at the destination) without those whose name an earlier one has.

        These have failed.
        """
        first_with: dict[str, int] = {}
        for number, name in names.items():
            if first_with.setdefault(name, number) != number:
                other = self._states[first_with[name]].source
                self.finish(number, Status.FAILED, f"{other!r} has the same name")
        return {number: name for name, number in first_with.items()}

    def is_open(self, number: int) -> bool:
        """Return whether the source has no outcome yet."""
        return number not in self._results

    def __getitem__(self, number: int) -> SourceState:
        return self._states[number]

    def finish(self, number: int, status: Status, message: str = "", size: int = 0) -> None:
        """Set the outcome of a source, unless it has one."""
        if self.is_open(number):
            state = self._states[number]
            self._results[number] = FileResult(state.source, state.destination, status, size, message)
            if status is Status.SUCCESS:
                state.done = state.total = size
                self._report(state)

    def finish_all(self, status: Status, message: str) -> None:
        """Set the outcome of all sources that have none."""
        for number in self._states:
            self.finish(number, status, message)

    def advance(self, number: int, size: int) -> None:
        """Note that `size` more bytes of a source are done."""
        state = self._states[number]
        state.done += size
        if self._progress is not None and monotonic() - state.reported_at >= PROGRESS_EVERY:
            self._report(state)

    def _report(self, state: SourceState) -> None:
        if self._progress is not None:
            state.reported_at = monotonic()
            self._progress(FileProgress(state.source, state.done, state.total))

    def result_of(self, transfer: Callable[[], None]) -> TransferResult:
        """Run a transfer. What ends it is the outcome of the sources that have none; what kept it from beginning is
        raised."""
        try:
            transfer()
        except DeadlineExpired:
            reason = self._deadline.cancelled or "timed out"
            seconds = monotonic() - self._started_at
            self.finish_all(Status.ERROR, f"{reason} after {seconds:.1f} s; it is not known to be in place")
        except ConnectionLost as error:
            self.finish_all(Status.ERROR, f"it is not known to be in place: {error}")
        except OttoError as error:
            if not self.begun:
                raise
            self.finish_all(Status.ERROR, str(error))
        return self.result()

    def result(self) -> TransferResult:
        """Return all outcomes, in the order of the sources."""
        self.finish_all(Status.ERROR, "the remote shell did not report how it ended")
        results = {state.source: self._results[state.number] for state in self._states.values()}
        return TransferResult(results, self._host_id)
