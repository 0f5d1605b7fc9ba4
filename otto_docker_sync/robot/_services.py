"""Keywords about commands in the background, and about waiting until a host is ready."""

from __future__ import annotations

from datetime import timedelta

from ..process import Process
from ..result import CommandResult, ExpectMatch
from ._hosts import HostKeywords
from ._keyword import keyword
from ._open_host import HostRef, SecretText, reveal


class ServiceKeywords(HostKeywords):
    """Keywords about what runs on a host for longer than one keyword."""

    @keyword
    def start_background_command(self, command: str, *arguments: str, host: HostRef = None) -> Process:
        """Start a command in a fresh shell, and return a handle for it, which has ``output`` and ``running``.

        With ``arguments``, it is a program that is run without a shell. It runs until it ends, is stopped, or its host
        is closed. Of output that nobody waits for, 1 MiB is taken; then the command waits.

        | ${server} = | Start Background Command | ./server --port 8080 |
        | Wait For Background Output | ${server} | listening | timeout=30 s |
        | Run Command | ./selftest | check=True |
        | ${result} = | Stop Background Command | ${server} |
        """
        return self._host(host).start([command, *arguments] if arguments else command)

    @keyword
    def wait_for_background_output(
        self, process: Process, pattern: str, timeout: timedelta | None = None
    ) -> ExpectMatch:
        """Wait until a regular expression matches in what a background command writes, and return all up to the match.

        ``process`` is what `Start Background Command` returned. Fails when the command ends first, and after
        ``timeout``, 10 seconds unless given.

        | Wait For Background Output | ${server} | listening on port (\\\\d+) |
        """
        return process.wait_for(pattern, timedelta(seconds=10) if timeout is None else timeout)

    @keyword
    def send_to_background_command(self, process: Process, text: SecretText, end: bool = False) -> None:
        """Send a text to the standard input of a background command, as it is; with ``end``, its input then ends.

        | Send To Background Command | ${calculator} | 6 * 7\\n |
        """
        process.send(reveal(text) or "")
        if end:
            process.send_eof()

    @keyword
    def stop_background_command(
        self, process: Process, signal: str = "TERM", grace: timedelta | None = None
    ) -> CommandResult:
        """End a background command with all that it started, and return its result, as `Run Oneshot` does.

        What still runs ``grace`` after the signal, 5 seconds unless given, is killed.

        | ${result} = | Stop Background Command | ${capture} | signal=INT |
        """
        return process.stop(signal, timedelta(seconds=5) if grace is None else grace)

    @keyword
    def wait_until_ready(
        self,
        healthy: bool = False,
        port: int | None = None,
        http: str | None = None,
        log: str | None = None,
        command: str | None = None,
        timeout: timedelta | None = None,
        *,
        host: HostRef = None,
    ) -> None:
        """Wait until the host is ready, in all that is asked for.

        ``healthy``: its health check succeeds. ``port``: somebody listens on it. ``http``: a path, or
        ``:port/path``, is answered with a status below 500. ``log``: a regular expression matches a line that the
        container has printed. ``command``: it ends with status 0. Fails at once when the container ends first, and
        after ``timeout``, a minute unless given.

        | Wait Until Ready | port=8080 | http=/health | timeout=30 s | host=api |
        """
        limit = timedelta(minutes=1) if timeout is None else timeout
        self._host(host).wait_for(healthy=healthy, port=port, http=http, log=log, command=command, timeout=limit)
