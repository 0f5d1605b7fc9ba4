"""pytest-testinfra's modules on our hosts: its backend, whose `run` is a oneshot. Needs the extra ``testinfra``."""

from __future__ import annotations

from typing import Any

import testinfra.host
from testinfra.backend.base import BaseBackend, CommandResult

from .._shell import Runner


class OttoBackend(BaseBackend):  # type: ignore[misc]
    """A host, as testinfra sees it."""

    NAME = "otto"

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner.backend.id)
        self._runner = runner

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Run a command. Raises `CommandFailed` when nobody knows how it ended, and what kept it from being started."""
        text = self.get_command(command, *args)
        result = self._runner.oneshot(text)
        if result.retcode is None:
            result.check()
        return self.result(result.retcode, text.encode(), result.stdout_bytes, result.stderr_bytes)

    def get_encoding(self) -> str:
        """UTF-8, as in all of this library; testinfra would look for a Python on the host."""
        return "utf-8"


def open_testinfra(runner: Runner) -> Any:
    """Return the host with all of testinfra's modules."""
    backend = OttoBackend(runner)
    host = testinfra.host.Host(backend)
    backend.set_host(host)
    return host
