"""Measuring several ways to do the same work side by side.

The samples of all sides are taken in turns, so that whatever else the machine does meanwhile hits all of them alike.
Each side counts by its median. A side that cannot be opened, or fails, has a reason in place of figures.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

MAX_REASON = 160
PATIENCE = 60.0
"""Seconds after which one side of a row gets no more turns: what is slow needs fewer samples."""


class NotAvailable(Exception):
    """This side cannot do the work, and why."""


class Meter:
    """One sample. What is done inside ``with meter:`` is timed; or `value` is set to what was measured."""

    def __init__(self) -> None:
        self.value = 0.0
        self._started_at = 0.0

    def __enter__(self) -> None:
        self._started_at = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.value += time.perf_counter() - self._started_at


Sample = Callable[[Meter], None]
"""Does the work once."""

Opener = Callable[[ExitStack], Sample]
"""Gets ready, leaves what has to be undone in the stack, and returns what does the work."""


@dataclass
class Side:
    """What was measured of one way to do the work."""

    name: str
    samples: list[float] = field(default_factory=list)
    reason: str = ""
    """Why there are no figures."""
    seconds: float = 0.0
    """What all of its turns have taken."""

    @property
    def median(self) -> float | None:
        """The median of the samples; None if there are none, or if the side has failed."""
        return statistics.median(self.samples) if self.samples and not self.reason else None


def measure(openers: Mapping[str, Opener], rounds: int) -> list[Side]:
    """Take `rounds` samples of each side in turns, after one of each that does not count."""
    sides = [Side(name) for name in openers]
    samples: dict[str, Sample] = {}
    with ExitStack() as everything:
        for side in sides:
            stack = everything.enter_context(_own_stack(side))
            with _failure_of(side):
                samples[side.name] = openers[side.name](stack)
        for number in range(rounds + 1):
            first = number % len(sides)
            for side in [*sides[first:], *sides[:first]]:
                if not side.reason and not (side.samples and side.seconds > PATIENCE):
                    _take_turn(side, samples[side.name], counts=number > 0)
    return sides


def _take_turn(side: Side, sample: Sample, *, counts: bool) -> None:
    started_at = time.monotonic()
    with _failure_of(side):
        meter = Meter()
        sample(meter)
        if counts:
            side.samples.append(meter.value)
    side.seconds += time.monotonic() - started_at


@contextmanager
def _own_stack(side: Side) -> Iterator[ExitStack]:
    """A stack for one side: what fails while it is undone takes no other side's figures away."""
    stack = ExitStack()
    try:
        yield stack
    finally:
        try:
            stack.close()
        except Exception as error:
            print(f"    {side.name}: when it ended: {error!r}"[:MAX_REASON], file=sys.stderr)


@contextmanager
def _failure_of(side: Side) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines()
        side.reason = (lines[0] if lines else type(error).__name__)[:MAX_REASON]
        if not isinstance(error, NotAvailable):
            side.reason = f"failed: {side.reason}"
            print(f"    {side.name} {side.reason} ({type(error).__name__})", file=sys.stderr)
