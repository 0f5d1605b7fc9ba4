"""One call on several hosts at once, for the commands that take a pattern of hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from ..limits import MAX_PARALLEL

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..host import Host

Result = TypeVar("Result")


_writing = threading.Lock()


def on_each(
    targets: list[Host], work: Callable[[Host], Result], lost: Callable[[Host, Exception], Result]
) -> list[Result]:
    """Call `work` for each host in a thread of its own; return the results in the order of the hosts.

    One that raises does not stop the others: `lost` makes a result of its error.
    """

    def call(target: Host) -> Result:
        try:
            return work(target)
        except Exception as error:
            return lost(target, error)

    with ThreadPoolExecutor(min(MAX_PARALLEL, len(targets))) as pool:
        # Each call gets a copy of this context: the cancellation of Ctrl-C is in it.
        futures = [pool.submit(copy_context().run, call, target) for target in targets]
        return [future.result() for future in futures]


class PrefixedLines:
    """Writes output that arrives in pieces as whole lines with a prefix, so that several hosts can share a stream.

    >>> with PrefixedLines("carrot: ", sys.stdout.write) as lines:
    ...     lines.add("one\\ntw"); lines.add("o")
    carrot: one
    carrot: two
    """

    def __init__(self, prefix: str, write: Callable[[str], object]) -> None:
        self._prefix = prefix
        self._write = write
        self._rest = ""

    def add(self, text: str) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            with _writing:
                self._write("".join(f"{self._prefix}{line}\n" for line in lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self.add("\n")
