"""SSHLibrary's keywords that write to a shell and read from it.

They use the host's persistent shell, which has neither prompt nor echo; where a prompt is set, a terminal with both.
"""

from __future__ import annotations

import re
import time
from datetime import timedelta

from ..errors import ExpectTimeout, SessionClosed
from ..limits import FIRST_WAIT
from ..logs import masked
from ..session import DEFAULT_SESSION
from ._keyword import keyword, ssh_keyword
from ._open_host import HostRef, OpenHost, SecretText, reveal
from ._results import ResultKeywords
from ._settings import compile_regexp, seconds
from ._terminal import Find, NoMatch, Terminal, find_regexp, find_text


class ShellKeywords(ResultKeywords):
    """Keywords about the shell, in the manner of pexpect."""

    @ssh_keyword
    def write(
        self, text: SecretText, loglevel: str | None = None, *, session: str | None = None, host: HostRef = None
    ) -> str:
        """Send a text and a newline to the shell, and return what the terminal shows of it, which is then read.

        The persistent shell, which is used where no prompt is set, shows nothing: the text itself is then returned.
        ``text`` may be a Secret variable, which is returned hidden. See `Terminals`.

        | Write      | su - tester |
        | Read Until | Password:   |
        | Write      | ${PASSWORD} |
        """
        known = self._open_host(host)
        line = f"{reveal(text)}{known.newline}"
        if terminal := self._terminal(known, session):
            terminal.write(line, known.timeout)
            try:
                output = known.clean(terminal.read_until(find_text(known.newline), known.timeout))
            except NoMatch as error:
                raise AssertionError(_no_match(known, known.newline, error)) from None
        else:
            self._shell(host, session).send(line)
            output = line
        known.log(output, loglevel)
        return output if isinstance(text, str) else masked(output)

    @ssh_keyword
    def write_bare(self, text: SecretText, *, session: str | None = None, host: HostRef = None) -> None:
        """Send a text to the shell, and nothing else. What the terminal shows of it stays to be read.

        | Write Bare | y |
        """
        known = self._open_host(host)
        if terminal := self._terminal(known, session):
            terminal.write(str(reveal(text)), known.timeout)
        else:
            self._shell(host, session).send(str(reveal(text)))

    @ssh_keyword
    def write_until_expected_output(
        self,
        text: SecretText,
        expected: str,
        timeout: timedelta,
        retry_interval: timedelta,
        loglevel: str | None = None,
        *,
        session: str | None = None,
        host: HostRef = None,
    ) -> None:
        """Send a text again and again, until the expected one arrives; fail when ``timeout`` passes first.

        | Write Until Expected Output | pidof app\\n | expected=1 | timeout=5 s | retry_interval=0.5 s |
        """
        known = self._open_host(host)
        end = time.monotonic() + timeout.total_seconds()
        while True:
            self.write_bare(text, session=session, host=host)
            wait = min(retry_interval.total_seconds(), max(0.0, end - time.monotonic()))
            try:
                known.log(self._expect(known, find_text(expected), re.escape(expected), wait, session, host), loglevel)
                return
            except NoMatch as error:
                if time.monotonic() >= end:
                    known.log(f"The last that arrived:\n{error.output}")
                    shown = OpenHost(timeout=timeout.total_seconds()).shown_timeout
                    raise AssertionError(f"No match found for '{expected}' in {shown}.") from None

    @ssh_keyword
    def read(
        self,
        loglevel: str | None = None,
        delay: timedelta | None = None,
        *,
        session: str | None = None,
        host: HostRef = None,
    ) -> str:
        """Return everything that has arrived from the shell and was not read yet.

        With ``delay`` it waits for that time, reads again, and so on until nothing more arrives, or the timeout of
        the reading keywords passes. Prefer `Read Until`, which waits for what you need and no longer.

        | ${output} = | Read | delay=0.5 s |
        """
        known = self._open_host(host)
        wait = seconds(delay) or FIRST_WAIT
        end = time.monotonic() + known.timeout
        output = ""
        terminal = self._terminal(known, session)
        while True:
            piece = (
                terminal.read_available(wait)
                if terminal
                else self._read_session(wait, session, host, end_is_expected=bool(output))
            )
            output += piece
            if not piece or delay is None or time.monotonic() >= end:
                break
        output = known.clean(output)
        known.log(output, loglevel)
        return output

    @ssh_keyword
    def read_until(
        self, expected: str, loglevel: str | None = None, *, session: str | None = None, host: HostRef = None
    ) -> str:
        """Return what arrives from the shell up to and including a text.

        Fails with what did arrive when the timeout passes first, see `Set Client Configuration`; that is read then.
        What follows the text stays for the next reading.

        | ${output} = | Read Until | server ready |
        """
        known = self._open_host(host)
        return self._read_until(known, re.compile(re.escape(expected)), expected, loglevel, session, host)

    @ssh_keyword
    def read_until_regexp(
        self, regexp: str, loglevel: str | None = None, *, session: str | None = None, host: HostRef = None
    ) -> str:
        """Return what arrives from the shell up to and including a match of a regular expression.

        | ${output} = | Read Until Regexp | port \\\\d+ |
        """
        known = self._open_host(host)
        pattern = regexp if isinstance(regexp, re.Pattern) else compile_regexp(regexp)
        return self._read_until(known, pattern, pattern.pattern, loglevel, session, host)

    @ssh_keyword
    def read_until_prompt(
        self,
        loglevel: str | None = None,
        strip_prompt: bool = False,
        *,
        session: str | None = None,
        host: HostRef = None,
    ) -> str:
        """Return what arrives up to and including the prompt, or without it if ``strip_prompt`` is true.

        The prompt is set at the import, by `Open Connection`, `Use Container` or `Set Client Configuration`;
        ``REGEXP:`` in front makes it a regular expression. See `Terminals`.

        | Set Client Configuration | prompt=sqlite> |
        | Write                    | sqlite3        |
        | Read Until Prompt        |
        """
        known = self._open_host(host)
        pattern = known.prompt_regexp
        output = self._read_until(known, pattern, known.prompt or "", loglevel, session, host)
        return re.sub(f"(?:{pattern.pattern})\\Z", "", output) if strip_prompt else output

    @keyword
    def interrupt(self, *, session: str | None = None, host: HostRef = None) -> None:
        """Send Ctrl-C to what runs in the shell.

        | Write     | tail -f /var/log/app.log |
        | Interrupt |
        """
        known = self._open_host(host)
        if terminal := self._terminal(known, session):
            terminal.write("\x03", known.timeout)
        else:
            self._host(host).open_session(session or DEFAULT_SESSION).interrupt()

    # What these share

    def _terminal(self, known: OpenHost, session: str | None) -> Terminal | None:
        """Return the terminal to write to and read from; None where the persistent shell is meant."""
        if known.target is None:
            raise RuntimeError("Cannot open session, you need to establish a connection first.")
        if session is not None or known.prompt is None:
            return None
        if known.terminal is None:
            known.terminal = Terminal(known.target, known)
            known.terminal.skip_first_prompt(known.timeout)
        return known.terminal

    def _read_until(
        self,
        known: OpenHost,
        pattern: re.Pattern[str],
        shown: str,
        loglevel: str | None,
        session: str | None,
        host: HostRef,
    ) -> str:
        try:
            output = self._expect(known, find_regexp(pattern), pattern, known.timeout, session, host)
        except NoMatch as error:
            raise AssertionError(_no_match(known, shown, error)) from None
        known.log(output, loglevel)
        return output

    def _expect(
        self,
        known: OpenHost,
        find: Find,
        pattern: re.Pattern[str] | str,
        timeout: float,
        session: str | None,
        host: HostRef,
    ) -> str:
        """Read up to a match. Raises `NoMatch`; what arrived is read then."""
        if terminal := self._terminal(known, session):
            return known.clean(terminal.read_until(find, timeout))
        if isinstance(pattern, re.Pattern) and not pattern.flags & ~re.UNICODE:
            pattern = pattern.pattern  # as a text, in which a line end stands for that of the terminal, too
        try:
            return str(self._shell(host, session).expect(pattern, timeout=timeout))
        except ExpectTimeout:
            raise NoMatch(self._read_session(0, session, host, end_is_expected=True)) from None

    def _read_session(self, wait: float, session: str | None, host: HostRef, *, end_is_expected: bool) -> str:
        """Return what the persistent shell has shown, or shows within `wait` seconds."""
        try:
            return self._shell(host, session).read_available(wait)
        except SessionClosed:
            if not end_is_expected:
                raise
            return ""


def _no_match(known: OpenHost, expected: str, error: NoMatch) -> str:
    return f"No match found for '{expected}' in {known.shown_timeout}\nOutput:\n{known.clean(error.output)}."
