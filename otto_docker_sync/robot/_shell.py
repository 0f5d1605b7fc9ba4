"""SSHLibrary's keywords that write to a shell and read from it."""

from __future__ import annotations

import re
import time
from datetime import timedelta

from robot.api import logger
from robot.api.deco import keyword

from ..errors import ConfigError, ExpectTimeout, SessionClosed
from ..logs import masked
from ..session import DEFAULT_SESSION
from ._commands import CommandKeywords
from ._open_host import HostRef, SecretText, reveal, seconds

ANYTHING = re.compile(r"(?s).+")
SLICE = 0.1
"""Seconds to wait for the first bytes when `Read` is told no ``delay``."""


class ShellKeywords(CommandKeywords):
    """Keywords about the persistent shell, in the manner of pexpect."""

    @keyword
    def write(self, text: SecretText, session: str | None = None, host: HostRef = None) -> str:
        """Send a text and a newline to the persistent shell, and return them.

        The shell echoes nothing, so nothing has to be consumed. ``text`` may be a Secret variable, which is returned
        hidden.

        | Write      | su - tester |
        | Read Until | Password:   |
        | Write      | ${PASSWORD} |
        """
        line = f"{reveal(text)}{self._connection(host).newline}"
        self._shell(host, session).send(line)
        return line if isinstance(text, str) else masked(line)

    @keyword
    def write_bare(self, text: SecretText, session: str | None = None, host: HostRef = None) -> None:
        """Send a text to the persistent shell, and nothing else.

        | Write Bare | y |
        """
        self._shell(host, session).send(str(reveal(text)))

    @keyword
    def write_until_expected_output(
        self,
        text: SecretText,
        expected: str,
        timeout: timedelta,
        retry_interval: timedelta,
        session: str | None = None,
        host: HostRef = None,
    ) -> None:
        """Send a text again and again, until the expected one arrives; fail when ``timeout`` passes first.

        | Write Until Expected Output | pidof app\\n | expected=1 | timeout=5 s | retry_interval=0.5 s |
        """
        shell = self._shell(host, session)
        end = time.monotonic() + timeout.total_seconds()
        while True:
            shell.send(str(reveal(text)))
            wait = min(retry_interval.total_seconds(), max(0.0, end - time.monotonic()))
            try:
                shell.expect(re.escape(expected), timeout=wait)
                return
            except ExpectTimeout as error:
                if time.monotonic() >= end:
                    raise AssertionError(f"No match found for {expected!r} in {timeout}.\n{error}") from None

    @keyword
    def read(
        self,
        loglevel: str = "INFO",
        delay: timedelta | None = None,
        session: str | None = None,
        host: HostRef = None,
    ) -> str:
        """Return everything that has arrived from the persistent shell and was not read yet.

        With ``delay`` it waits for that time, reads again, and so on until nothing more arrives, or the timeout of
        the reading keywords passes. Prefer `Read Until`, which waits for what you need and no longer.

        | ${output} = | Read | delay=0.5 s |
        """
        shell = self._shell(host, session)
        wait = seconds(delay) or SLICE
        end = time.monotonic() + self._connection(host).timeout.total_seconds()
        pieces: list[str] = []
        while True:
            try:
                pieces.append(shell.expect(ANYTHING, timeout=wait))
            except ExpectTimeout:
                break
            except SessionClosed as closed:
                if not pieces and not closed.before:
                    raise
                pieces.append(closed.before)
                break
            if delay is None or time.monotonic() >= end:
                break
        return _logged("".join(pieces), loglevel)

    @keyword
    def read_until(
        self, expected: str, loglevel: str = "INFO", session: str | None = None, host: HostRef = None
    ) -> str:
        """Return what arrives from the persistent shell up to and including a text.

        Fails with what did arrive when the timeout passes first, see `Set Client Configuration`. What follows the
        text stays for the next reading.

        | ${output} = | Read Until | server ready |
        """
        return self._read_until(re.escape(expected), expected, loglevel, session, host)

    @keyword
    def read_until_regexp(
        self, regexp: str, loglevel: str = "INFO", session: str | None = None, host: HostRef = None
    ) -> str:
        """Return what arrives from the persistent shell up to and including a match of a regular expression.

        | ${output} = | Read Until Regexp | port \\\\d+ |
        """
        return self._read_until(regexp, regexp, loglevel, session, host)

    @keyword
    def read_until_prompt(
        self,
        loglevel: str = "INFO",
        strip_prompt: bool = False,
        session: str | None = None,
        host: HostRef = None,
    ) -> str:
        """Return what arrives up to and including the prompt, or without it if ``strip_prompt`` is true.

        The prompt is set by `Open Connection`, `Use Container` or `Set Client Configuration`; ``REGEXP:`` in front
        makes it a regular expression. It is the prompt of a program that you have started with `Write`. The
        persistent shell itself has no prompt: use `Run Command` for what runs in it.

        | Set Client Configuration | prompt=sqlite> |
        | Write                    | sqlite3        |
        | Read Until Prompt        |
        """
        prompt = self._connection(host).prompt
        if not prompt:
            raise ConfigError("Prompt is not set: see `Set Client Configuration`")
        pattern = prompt[len("REGEXP:") :] if prompt.startswith("REGEXP:") else re.escape(prompt)
        output = self._read_until(pattern, prompt, loglevel, session, host)
        return re.sub(f"(?:{pattern})\\Z", "", output) if strip_prompt else output

    @keyword
    def interrupt(self, session: str | None = None, host: HostRef = None) -> None:
        """Send Ctrl-C to what runs in the persistent shell.

        | Write     | tail -f /var/log/app.log |
        | Interrupt |
        """
        self._host(host).open_session(session or DEFAULT_SESSION).interrupt()

    def _read_until(self, pattern: str, shown: str, loglevel: str, session: str | None, host: HostRef) -> str:
        timeout = self._connection(host).timeout
        try:
            match = self._shell(host, session).expect(pattern, timeout=timeout)
        except ExpectTimeout as error:
            raise AssertionError(f"No match found for {shown!r} in {timeout}. Output:\n{error.before}") from None
        return _logged(str(match), loglevel)


def _logged(output: str, loglevel: str) -> str:
    logger.write(masked(output), loglevel.upper())  # type: ignore[arg-type]
    return output
