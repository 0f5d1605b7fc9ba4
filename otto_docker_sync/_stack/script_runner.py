"""Runs the scripts of a compose project on its parent, and knows how docker and Compose are called there."""

from __future__ import annotations

import math
import posixpath
import shlex
from typing import ClassVar, NamedTuple
from weakref import WeakKeyDictionary

from .._channel import scripts
from .._channel.base import Channel
from .._channel.markers import new_nonce
from .._docker import docker_error
from ..deadline import Deadline, DeadlineExpired
from ..errors import ComposeError
from ..host import Host
from ..result import CommandResult, Status
from .containers import ROW
from .report import LoggedLines, ScriptReport


class Compose(NamedTuple):
    """How Compose is called on a parent, of which kind it is, and the options that keep ``up`` from building.

    `kind` is "2", "1" or "podman".
    """

    command: list[str]
    kind: str
    start_only: str


class ScriptTimedOut(DeadlineExpired):
    """A script was cut off, after it had reported so much."""

    def __init__(self, report: ScriptReport) -> None:
        super().__init__()
        self.report = report


class StackScripts:
    """The scripts of one compose project on one parent. It has no state; any thread may use it."""

    _known_compose: ClassVar[WeakKeyDictionary[Host, Compose]] = WeakKeyDictionary()

    def __init__(self, parent: Host, compose_project: str) -> None:
        self.parent = parent
        self.compose_project = compose_project
        self._docker = list(parent.backend.docker_command())

    def __str__(self) -> str:
        return f"stack {self.compose_project} on {self.parent.id}"

    def find_compose(self, deadline: Deadline) -> Compose:
        """Return how Compose is called there: the plugin, or the older program of its own where there is no plugin."""
        known = self._known_compose.get(self.parent)
        if known is None:
            old = [*self._docker[:-1], f"{posixpath.basename(self._docker[-1])}-compose"]
            report = self.call("find_compose", deadline, "looking for Docker Compose", old_compose=shlex.join(old))
            if "no-docker" in report:
                said = report.last_lines().encode()
                raise docker_error(self.parent.id, "", "", said, None, None, None)
            version, _, kind = report.first("compose").partition(" ")
            if not version:
                raise ComposeError(
                    f"{self.parent.id} has no Docker Compose: neither {shlex.join([*self._docker, 'compose'])} nor "
                    f"{shlex.join(old)} works there; install the package docker-compose-plugin"
                )
            command = [*self._docker, "compose"] if version == "2" else old
            known = Compose(command, kind, "--no-build --pull never" if "pull" in report else "--no-build")
            self._known_compose[self.parent] = known
        return known

    def call(
        self, name: str, deadline: Deadline, what: str, lines: LoggedLines | None = None, /, **values: str | int
    ) -> ScriptReport:
        """Run a script there. Raises `ComposeError` with its last lines, `ScriptTimedOut` when the time is spent.

        `lines` gets the output as it comes.
        """
        nonce = new_nonce()
        on_output = None
        if lines is not None:
            lines.nonce = nonce
            on_output = lines.add
        remaining = deadline.remaining()
        # Not None for "no end", which stands for the parent's own default.
        seconds = math.inf if remaining is None else remaining
        result = self.parent.oneshot(self._script(name, nonce, values), timeout=seconds, log=False, on_output=on_output)
        # A result whose output went to a callback holds only the end of it.
        output = result.output if lines is None else lines.text
        report = ScriptReport.parse(output.replace("\r\n", "\n"), nonce)
        if result.ok:
            return report
        if result.timed_out or deadline.cancelled:
            raise ScriptTimedOut(report)
        raise self._script_error(what, result, report)

    def _script_error(self, what: str, result: CommandResult, report: ScriptReport) -> ComposeError:
        if result.status is Status.ERROR:
            return ComposeError(f"{self}: {what}: {result.message}")
        return ComposeError(f"{self}: {what} failed with status {result.retcode}:\n{report.last_lines()}")

    def start(self, name: str, deadline: Deadline, **values: str | int) -> tuple[Channel, str]:
        """Start a script, and return its channel, and the nonce of its report."""
        nonce = new_nonce()
        self.find_compose(deadline)
        script = self._script(name, nonce, values)
        return self.parent.backend.open_shell(["-c", script], deadline=deadline), nonce

    def _script(self, name: str, nonce: str, values: dict[str, str | int]) -> str:
        known = self._known_compose.get(self.parent)
        return scripts.script(
            __package__,
            name,
            project=self.compose_project,
            nonce=nonce,
            docker=shlex.join(self._docker),
            compose=shlex.join(known.command) if known else "exit",
            row=ROW,
            **values,
        )
