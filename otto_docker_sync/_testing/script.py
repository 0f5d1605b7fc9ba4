"""What a scripted host answers: which reply a command gets, and what was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn, Union

from .._shell import Capture, Outcome
from ..errors import ConfigError
from ..result import CommandResult, Status, shorten

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Reply(NamedTuple):
    """How a scripted command ends: what it prints, and its exit status.

    >>> ScriptedHost({"make": Reply("compiling\\n", "error: no rule\\n", retcode=2)}).oneshot("make").stderr
    'error: no rule\\n'
    """

    stdout: str | bytes = ""
    """What it prints on stdout."""

    stderr: str | bytes = ""
    """What it prints on stderr."""

    retcode: int = 0
    """Its exit status."""


AnyReply = Union[str, bytes, Reply, CommandResult, BaseException, type[BaseException], list[Any], Callable[..., Any]]
"""What a command can be scripted to do; see `ScriptedHost`."""


class UnexpectedCommand(AssertionError):
    """The code under test did what nobody has scripted. The text names what was."""


class Script:
    """Which command gets which answer, and what was asked. Any thread may use it."""

    def __init__(self, replies: Mapping[str | re.Pattern[str], AnyReply]) -> None:
        self.replies = dict(replies)
        self.commands: list[str] = []
        self.typed: list[str] = []
        self.inputs: list[bytes] = []
        self._lock = threading.Lock()
        self._used: dict[str | re.Pattern[str], int] = {}
        """How many replies of a sequence were given."""

    def run(self, command: str, capture: Capture) -> Outcome:
        """Answer a command: its output goes to `capture`."""
        with self._lock:
            self.commands.append(command)
            reply = self._find(command)
        if reply is None:
            self._refuse("runs", command)
        return give_reply(reply(), capture)

    def type(self, text: str) -> bytes:
        """Answer what was typed, with what then appears on the terminal."""
        line = text.removesuffix("\n")
        with self._lock:
            self.typed.append(text)
            reply = self._find(line)
        if reply is None:
            if not line or CONTROL.fullmatch(line):
                return b""
            self._refuse("types", line)
        capture = Capture(None, lambda _: None)
        give_reply(reply(), capture)
        return bytes(capture.output)

    def _find(self, text: str) -> Callable[[], Any] | None:
        """Return what makes the reply to `text`; called without the lock, because it may be the user's code."""
        key: str | re.Pattern[str] = text
        subject: Any = text
        if text not in self.replies:
            for pattern in self.replies:
                if not isinstance(pattern, str) and (match := pattern.fullmatch(text)):
                    key, subject = pattern, match
                    break
            else:
                return None
        reply: Any = self.replies[key]
        if isinstance(reply, list):
            used = self._used.get(key, 0)
            self._used[key] = used + 1
            reply = reply[min(used, len(reply) - 1)] if reply else None
        if callable(reply) and not isinstance(reply, type):
            return lambda: reply(subject)
        return lambda: reply

    def _refuse(self, verb: str, text: str) -> NoReturn:
        scripted = "\n".join(f"  {key if isinstance(key, str) else repr(key)}" for key in self.replies)
        raise UnexpectedCommand(
            f"the code under test {verb} {shorten(text)!r}, which is not scripted; scripted are:\n"
            f"{scripted or '  no commands at all'}"
        )


def give_reply(reply: Any, capture: Capture) -> Outcome:
    """Put the output of a reply into `capture`, and return how the command ends."""
    if isinstance(reply, BaseException) or (isinstance(reply, type) and issubclass(reply, BaseException)):
        raise reply
    if isinstance(reply, (str, bytes)):
        reply = Reply(reply)
    if isinstance(reply, Reply):
        outcome = Outcome(reply.retcode)
        streams: tuple[str | bytes, str | bytes] = reply.stdout, reply.stderr
    elif isinstance(reply, CommandResult):
        retcode = reply.retcode
        if retcode is None:
            retcode = {Status.SUCCESS: 0, Status.FAILED: 1}.get(reply.status)
        outcome = Outcome(retcode, reply.message, reply.timed_out, reply.session_ended, reply.new_session)
        stderr = reply.stderr_bytes or reply.stderr
        streams = reply.stdout_bytes or reply.stdout or ("" if stderr else reply.output_bytes or reply.output), stderr
    else:
        raise ConfigError(f"{reply!r} is not a valid reply: pass a string, bytes, a Reply, a CommandResult or an error")
    for index, text in enumerate(streams):
        capture.add(text.encode() if isinstance(text, str) else text, index)
    return outcome
