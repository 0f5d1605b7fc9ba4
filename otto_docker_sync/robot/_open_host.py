"""What the library keeps of each host that a suite has opened, and the arguments that keywords share."""

from __future__ import annotations

import threading
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Union

from .._ssh import SSHOptions
from ..deadline import Cancellation, Timeout, cancellation
from ..host import Host
from ..logs import mask
from ..result import CommandResult

try:
    from robot.api.types import Secret
except ImportError:  # Robot Framework before 7.4

    class Secret:  # type: ignore[no-redef]
        """Stands in for Robot Framework's own, which came with 7.4."""

        value: str


HostRef = Union[Host, str, int, None]
"""What ``host=`` takes: an alias, an index, the id of a host of the lab, a host object, or nothing."""

SecretText = Union[Secret, str]


def reveal(text: SecretText | None) -> str | None:
    """The text of an argument that may be a Secret, whose value then never shows in a log."""
    if isinstance(text, Secret):
        value = str(text.value)
        mask(value)
        return value
    return text


class StartedCommand:
    """A oneshot on a thread of its own, from `Start Command` until `Read Command Output` or the end of its host."""

    def __init__(self, host: Host, script: str, shown: str) -> None:
        self.shown = shown
        self._host = host
        self._script = script
        self._cancellation = Cancellation()
        self._outcome: CommandResult | BaseException | None = None
        context = copy_context()
        context.run(cancellation.set, self._cancellation)
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="otto-robot-command", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._outcome = self._host.oneshot(self._script)
        except Exception as error:
            self._outcome = error

    def result(self, timeout: float | None) -> CommandResult | None:
        """Wait for the result; None when it is not there in time. Raises what the oneshot raised."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def stop(self) -> None:
        """End the command in the container, and the thread."""
        self._cancellation.cancel()
        self._thread.join()


@dataclass
class OpenHost:
    """One host that the suite has opened: `Get Connection` returns it."""

    index: int
    alias: str | None
    address: str
    port: int | None = None
    timeout: timedelta = timedelta(seconds=3)
    newline: str = "\n"
    prompt: str | None = None
    host: Host | None = None
    ssh: SSHOptions = field(default_factory=SSHOptions, repr=False)
    started: list[StartedCommand] = field(default_factory=list, repr=False)

    def close(self) -> None:
        for command in self.started:
            command.stop()
        self.started.clear()
        if self.host is not None:
            self.host.close()


def seconds(timeout: Timeout) -> float | None:
    """A Robot time as seconds."""
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
