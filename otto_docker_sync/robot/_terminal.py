"""A login shell on a terminal, with prompt and echo: what `Write` and ``Read`` use where a prompt is set."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from contextlib import ExitStack

from .._channel.base import Channel
from .._shell.terminal import open_terminal
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectionLost, SessionClosed
from ..host import Host
from ..limits import OPEN_TIME, ROBOT_QUIET_TIME, WRITE_POLL
from ._settings import Settings

Find = Callable[[str, int], "int | None"]
"""Given a text, and how many characters at its start were looked at before, returns where the wanted part ends."""


class NoMatch(Exception):
    """What was waited for did not arrive in time. ``output`` is what did, and is consumed."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


class Terminal:
    """The shell of a user who logs in, on a terminal of its own. Used by one thread at a time.

    It owns its channel. Bytes are decoded when they are read, as the settings say at that moment, so that a suite can
    go on with other settings after bytes that could not be decoded.
    """

    def __init__(self, host: Host, settings: Settings) -> None:
        self._label = host.id
        self._runner = host.runner
        self._settings = settings
        self._undo = ExitStack()
        self._size = (settings.width, settings.height)
        self._raw = b""
        self._text = ""
        self._invalid: UnicodeDecodeError | None = None
        self._ended = False
        try:
            with self._runner.use(Deadline.after(OPEN_TIME)) as deadline:
                self._channel = self._open(host, deadline)
        except DeadlineExpired:
            raise ConnectionLost(f"{host.id}: its terminal did not open within {OPEN_TIME:g} s") from None

    def _open(self, host: Host, deadline: Deadline) -> Channel:
        term, size = self._settings.term_type, self._size
        channel = host.backend.open_login(term=term, size=size, deadline=deadline)
        if channel is None:
            return self._undo.enter_context(open_terminal(host.runner, term, size, deadline))
        self._undo.callback(channel.close)
        return channel

    def close(self) -> None:
        """End the shell and what runs in it. Idempotent."""
        self._ended = True
        self._undo.close()

    def write(self, text: str, timeout: float) -> None:
        """Type a text. Raises `SessionClosed` when the shell has ended, `TimeoutError` when it takes no more."""
        if self._ended:
            raise SessionClosed(f"{self._label}: the shell of the terminal has ended; open the connection again")
        size = (self._settings.width, self._settings.height)
        if size != self._size:
            self._channel.resize(*size)
            self._size = size
        data = text.encode(self._settings.encoding, self._settings.encoding_errors or "strict")
        with self._runner.use(Deadline.after(timeout)) as deadline:
            while data:
                data = data[self._channel.write_some(data) :]
                if data:  # what the terminal shows has to be taken in, or neither side could go on
                    self._receive(deadline.at_most(WRITE_POLL))
                    if deadline.expired:
                        raise TimeoutError(f"{self._label}: the terminal accepted no more input within {timeout:g} s")

    def read_available(self, wait: float) -> str:
        """Return, and consume, all that is there or arrives within `wait` seconds after which nothing did."""
        with self._runner.use(Deadline.after(wait)) as deadline:
            while not self._raw and self._receive(deadline):
                pass
            while self._receive(Deadline.grace(0)):
                pass
        self._decode()
        if self._invalid and not self._text:
            self._raise_invalid()
        text, self._text = self._text, ""
        return text

    def read_until(self, find: Find, timeout: float) -> str:
        """Return, and consume, what arrives up to where `find` says.

        Raises `NoMatch` when `timeout` seconds pass first or the shell ends, `UnicodeDecodeError` at bytes that are
        not valid in the encoding that is set; what was read until then is consumed.
        """
        seen = 0
        with self._runner.use(Deadline.after(timeout)) as deadline:
            while True:
                self._decode()
                end = find(self._text, seen)
                if end is not None:
                    output, self._text = self._text[:end], self._text[end:]
                    return output
                if self._invalid:
                    self._raise_invalid()
                seen = len(self._text)
                if not self._receive(deadline):
                    output, self._text = self._text, ""
                    raise NoMatch(output)

    def skip_first_prompt(self, timeout: float) -> None:
        """Wait until the shell has started: its prompt is there, or it waits for input without the one that is set.

        Without this, what is typed first would be shown twice: by the terminal, and once more by the shell.
        """
        deadline = Deadline.after(timeout)
        find = find_regexp(self._settings.prompt_regexp)
        while find(self._text, 0) is None:
            if not self._receive(deadline.at_most(ROBOT_QUIET_TIME) if self._text else deadline):
                break
            self._decode()
        self._text = ""

    def _receive(self, deadline: Deadline) -> bool:
        """Wait for bytes; False when time is up or the shell has ended."""
        if self._ended:
            return False
        try:
            chunk = self._channel.read(deadline)
        except DeadlineExpired:
            return False
        self._ended = chunk.ended
        self._raw += chunk.out
        return not chunk.ended

    def _decode(self) -> None:
        """Move what can be decoded from `_raw` to `_text`; at invalid bytes it stops, and `_invalid` says why."""
        if self._invalid or not self._raw:
            return
        decoder = codecs.getincrementaldecoder(self._settings.encoding)(self._settings.encoding_errors or "strict")
        try:
            self._text += decoder.decode(self._raw)
            self._raw = decoder.getstate()[0]
        except UnicodeDecodeError as error:
            self._text += self._raw[: error.start].decode(self._settings.encoding)
            self._raw = self._raw[error.start :]
            self._invalid = error

    def _raise_invalid(self) -> None:
        error, self._invalid = self._invalid, None
        assert error is not None
        self._raw, self._text = self._raw[error.end - error.start :], ""
        raise error


def find_text(expected: str) -> Find:
    """Find the first place where a text ends.

    >>> find_text("b")("abab", 0)
    2
    """

    def find(text: str, seen: int) -> int | None:
        start = text.find(expected, max(0, seen - len(expected) + 1))
        return None if start < 0 else start + len(expected)

    return find


def find_regexp(regexp: re.Pattern[str]) -> Find:
    """Find where the shortest beginning of the text ends in which a regular expression is found.

    That is what matched first while the text arrived character by character, which is how SSHLibrary reads. It matters
    for greedy expressions: ``.*\\$`` ends at the first dollar sign, not at the last that has arrived.
    """

    def find(text: str, seen: int) -> int | None:
        if regexp.search(text) is None:
            return None
        low, high = seen, len(text)  # it is not in the first `low` characters, and is in the first `high`
        while high - low > 1:
            middle = (low + high) // 2
            if regexp.search(text, 0, middle):
                high = middle
            else:
                low = middle
        return high

    return find
