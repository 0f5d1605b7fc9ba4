"""The Robot Framework library. Needs the extra ``robot``."""

from __future__ import annotations

from typing import Any

from robot.api.deco import library

from .. import __version__
from ._files import FileKeywords
from ._logging import BackgroundLogHandler
from ._shell import ShellKeywords
from ._stacks import StackKeywords

__all__ = ["OttoDockerLibrary"]


@library(scope="GLOBAL", version=__version__, doc_format="ROBOT")
class OttoDockerLibrary(ShellKeywords, FileKeywords, StackKeywords):
    """Containers on lab machines behind SSH, and the machines themselves, as hosts for a suite.

    == Hosts ==

    A host is opened by `Open Connection` and `Login` (a machine), by `Use Container` (a container on an open
    machine), by `Docker Compose Up` (the services of a project), or it stands in a lab file, see `Use Lab`. Nothing
    is installed in a container.

    Every keyword takes ``host=``: an alias, an index, the id of a host of the lab, a service that was started by
    `Docker Compose Up`, or a host object. Without it a keyword works on the current host: the one that was opened
    last, or chosen by `Switch Connection`.

    == Two ways to run a command ==

    `Run Oneshot`, `Execute Command` and `Start Command` use a fresh shell each time. `Run Command` uses the host's
    persistent shell, where the working directory, variables and functions last; `Write` and the ``Read`` keywords
    talk to the program that runs in it. The persistent shell needs a machine reached over SSH, or a container on one.

    `Run Command` and `Run Oneshot` return a result, for example ``${result.output}``, ``${result.rc}`` and
    ``${result.ok}``, and do not fail unless told ``check=True``.

    == SSHLibrary ==

    Keywords with the names of SSHLibrary mean what they mean there. The differences: host keys are checked; `Write`
    has no echo to consume; the persistent shell has no prompt.

    == Times, secrets, logs ==

    Times are Robot Framework's, for example ``1 min 30 s``. Passwords may be Secret variables (Robot Framework 7.4),
    whose values the library then hides in all that it logs, not in what a keyword returns. Commands are logged at
    level INFO, their output at DEBUG. What other threads log, for example a command that is repeated, appears in the
    keyword that runs at that time.
    """

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self) -> None:
        super().__init__()
        self.ROBOT_LIBRARY_LISTENER = self
        self._background_log = BackgroundLogHandler()
        self._background_log.start()

    def end_keyword(self, data: Any, result: Any) -> None:  # noqa: ARG002 (Robot Framework calls it)
        """Called by Robot Framework at the end of every keyword, ours or not."""
        self._background_log.flush()

    def close(self) -> None:
        """Called by Robot Framework at the end of the run."""
        try:
            self._close_everything()
        finally:
            self._background_log.stop()
