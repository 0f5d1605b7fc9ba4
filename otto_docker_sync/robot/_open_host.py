"""What the library keeps of each host that a suite has opened, and the arguments that keywords share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Union

from .._ssh import SSHOptions
from ..deadline import Cancellation, context_with
from ..host import Host
from ..logs import mask
from ..result import CommandResult
from ._settings import Settings

if TYPE_CHECKING:
    from ._terminal import Terminal

try:
    from robot.api.types import Secret
except ImportError:  # Robot Framework before 7.4

    class Secret:  # type: ignore[no-redef]
        """Stands in for Robot Framework's own, which came with 7.4."""

        value: str


HostRef = Union[Host, str, int, None]
"""What ``host=`` takes: an alias, an index, the id of a host of the lab, a host object, or nothing."""

SecretText = Union[Secret, str]

SSH_PORT = 22


class SSHClientException(RuntimeError):
    """A command ran out of its time. Suites that were written for SSHLibrary know the error by this name."""


def reveal(text: SecretText | None) -> str | None:
    """Return the text of an argument that may be a Secret, whose value then never shows in a log."""
    if isinstance(text, Secret):
        value = str(text.value)
        mask(value)
        return value
    return text


class StartedCommand:
    """A oneshot on a thread of its own, from `Start Command` until `Read Command Output` or the end of its host."""

    def __init__(self, host: Host, script: str, stdin: str | None, shown: str) -> None:
        self.shown = shown
        self._host = host
        self._script = script
        self._stdin = stdin
        self._cancellation = Cancellation()
        self._outcome: CommandResult | BaseException | None = None
        context = context_with(self._cancellation)
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="otto-robot-command", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._outcome = self._host.oneshot(self._script, input=self._stdin)
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
class OpenHost(Settings):
    """One host that the suite has opened: `Get Connection` returns it.

    ``host`` is its name or address, as SSHLibrary has it; `Get Host` returns the host object.
    """

    index: int | None = None
    host: str | None = None
    alias: str | None = None
    port: int = SSH_PORT
    port_is_given: bool = field(default=False, repr=False)
    ssh: SSHOptions = field(default_factory=SSHOptions, repr=False)
    target: Host | None = field(default=None, repr=False)
    """The host object; None before the login."""
    terminal: Terminal | None = field(default=None, repr=False)
    started: list[StartedCommand] = field(default_factory=list, repr=False)
    last_command: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        names = [entry.name for entry in fields(self) if entry.repr]
        return "\n".join(f"{name}={getattr(self, name)}" for name in names)

    def close(self) -> None:
        """End what runs on the host, and let go of it."""
        for command in self.started:
            command.stop()
        self.started.clear()
        if self.terminal is not None:
            self.terminal.close()
            self.terminal = None
        if self.target is not None:
            self.target.close()
