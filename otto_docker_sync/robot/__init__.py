"""The Robot Framework library. Needs the extra ``robot``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from robot.api.deco import library
from robot.running import TestCase, TestSuite  # type: ignore[import-untyped]

from .. import __version__
from .._docker import Evidence
from .._ssh import HostKeyPolicy
from ._commands import CommandKeywords
from ._connections import ConnectionKeywords
from ._files import FileKeywords
from ._logging import BackgroundLogHandler
from ._login import LoginKeywords
from ._reservations import ReservationKeywords
from ._services import ServiceKeywords
from ._settings import Settings
from ._shell import ShellKeywords

__all__ = ["OttoDockerLibrary"]


@library(scope="GLOBAL", version=__version__, doc_format="ROBOT")
class OttoDockerLibrary(
    ConnectionKeywords,
    LoginKeywords,
    CommandKeywords,
    ShellKeywords,
    ServiceKeywords,
    FileKeywords,
    ReservationKeywords,
):
    """Containers on lab machines behind SSH, and the machines themselves, as hosts for a suite.

    == Hosts ==

    A host is opened by `Open Connection` and `Login` (a machine), by `Use Container` (a container on an open
    machine), by `Docker Compose Up` (the services of a project), or it stands in a lab file, see `Use Lab`. Nothing
    is installed in a container.

    Every keyword takes ``host=``, by name only: an alias, an index, the id of a host of the lab, a service that was
    started by `Docker Compose Up`, or a host object. Without it a keyword works on the current host: the one that was
    opened last, or chosen by `Switch Connection`.

    == Two ways to run a command ==

    `Run Oneshot`, `Execute Command`, `Start Command` and `Start Background Command` use a fresh shell each time.
    `Run Command` uses the host's persistent shell, where the working directory, variables and functions last. The
    persistent shell needs a machine reached over SSH, or a container on one.

    `Run Command` and `Run Oneshot` return a result, for example ``${result.output}``, ``${result.rc}`` and
    ``${result.ok}``, and do not fail unless told ``check=True``.

    == Settings ==

    They are given at the import and by `Set Default Configuration` for all hosts opened later, and for one host by
    `Open Connection` and `Set Client Configuration`.

    | = Setting =         | = Default = | = What it is = |
    | ``timeout``         | 3 seconds | For the keywords that read. |
    | ``newline``         | LF | What `Write` appends: ``LF``, ``CRLF``, or the characters themselves. |
    | ``prompt``          | | Where `Read Until Prompt` ends; a regular expression after ``REGEXP:``. See `Terminals`. |
    | ``loglevel``        | INFO | ``TRACE``, ``DEBUG``, ``INFO``, ``WARN`` or ``NONE``, for SSHLibrary's keywords. |
    | ``term_type``       | vt100 | Of the terminal. |
    | ``width``, ``height`` | 80, 24 | Of the terminal. |
    | ``path_separator``  | / | For `Get Connection` only: every host has ``/``. |
    | ``encoding``        | UTF-8 | Of the terminal, and of what commands print. |
    | ``escape_ansi``     | False | Whether control sequences are taken out of what is read from the terminal. |
    | ``encoding_errors`` | strict | As ``errors`` of Python's ``decode``; for commands ``replace`` unless given. |

    == Terminals ==

    `Write` and the ``Read`` keywords talk to a program. Without a prompt they use the persistent shell, the one of
    `Run Command` or the one that ``session=`` names, which shows no prompt and does not repeat what is written to it.

    With a prompt, set by ``prompt=`` of the import, `Open Connection`, `Use Container` or `Set Client Configuration`,
    they use a terminal of its own in which a login shell runs, with prompt and echo, as SSHLibrary has it: `Write`
    reads the line that the terminal repeats, and `Read Until Prompt` ends when the command has. Lines end with
    ``\\r\\n`` there. What runs in it ends with the host.

    == SSHLibrary ==

    A suite that was written for SSHLibrary moves by its import. All keywords of SSHLibrary are here, with all their
    arguments in their order and with their messages; what else is known stands in the log before the message. An
    argument that changes nothing here is accepted, for example ``scp``; one that cannot be had is refused with a
    sentence. The differences: host keys are checked, see `Open Connection`; ``~/.ssh/config`` is read; a command that
    timed out is ended.

    == Times, secrets, logs ==

    Times are Robot Framework's, for example ``1 min 30 s``. Passwords may be Secret variables (Robot Framework 7.4),
    whose values the library then hides in all that it logs, not in what a keyword returns. Commands are logged at
    level INFO, their output at DEBUG. What other threads log, for example a command that is repeated, appears in the
    keyword that runs at that time.

    A misspelt ``name=value`` is refused where it looks like an argument of the keyword: Robot Framework would pass it
    by position.
    """

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(
        self,
        timeout: timedelta | None = None,
        newline: str | None = None,
        prompt: str | None = None,
        loglevel: str | None = None,
        term_type: str | None = None,
        width: int | None = None,
        height: int | None = None,
        path_separator: str | None = None,
        encoding: str | None = None,
        escape_ansi: bool | None = None,
        encoding_errors: str | None = None,
        *,
        known_hosts: str | None = None,
        host_key_policy: HostKeyPolicy | None = None,
    ) -> None:
        """All arguments but the last two are `Settings`.

        ``known_hosts`` is the file of known host keys for all connections, ``host_key_policy`` what is done about an
        unknown one: ``reject`` (the default), ``accept-new`` to write it down, ``ignore`` to check nothing, which is
        what SSHLibrary does.

        | Library | otto_docker_sync.robot.OttoDockerLibrary | timeout=10 s | host_key_policy=accept-new |
        """
        settings = Settings()
        settings.update(
            timeout=timeout,
            newline=newline,
            prompt=prompt,
            loglevel=loglevel,
            term_type=term_type,
            width=width,
            height=height,
            path_separator=path_separator,
            encoding=encoding,
            escape_ansi=escape_ansi,
            encoding_errors=encoding_errors,
        )
        super().__init__(settings, known_hosts, host_key_policy)
        self.ROBOT_LIBRARY_LISTENER = self
        self._background_log = BackgroundLogHandler()
        self._background_log.start()
        self._has_evidence = False
        self._evidence = Evidence()
        self._evidence.start()

    def start_suite(self, data: Any, result: Any) -> None:  # noqa: ARG002 (Robot Framework calls it)
        """Called by Robot Framework before a suite, whose setup may fail."""
        self._begin_evidence()

    def start_test(self, data: Any, result: Any) -> None:  # noqa: ARG002 (Robot Framework calls it)
        """Called by Robot Framework before a test."""
        self._begin_evidence()

    def end_keyword(self, data: Any, result: Any) -> None:
        """Called by Robot Framework at the end of every keyword, ours or not."""
        self._background_log.flush()
        self.end_body_item(data, result)

    def end_body_item(self, data: Any, result: Any) -> None:
        """Called by Robot Framework at the end of everything else that a test consists of, such as a loop."""
        # Only what fails the test itself: a keyword inside of another one may be expected to fail.
        is_part_of_test = isinstance(data.parent, (TestCase, TestSuite))
        if result.failed and is_part_of_test and not self._has_evidence:
            self._has_evidence = True
            self._evidence.collect()

    def _begin_evidence(self) -> None:
        self._has_evidence = False
        self._evidence.begin()

    def close(self) -> None:
        """Called by Robot Framework at the end of the run."""
        try:
            self._close_everything()
        finally:
            self._stop_ssh_logging()
            self._background_log.stop()
            self._evidence.stop()
