"""A helper shell beside a host's sessions: ends what commands leave behind, and everything when the client is gone."""

from __future__ import annotations

import re
import threading
from time import monotonic

from .channel import Channel, ShellSource
from .deadline import Deadline, DeadlineExpired
from .errors import ConnectError, ConnectionLost, OttoError
from .framing import Begin, new_nonce
from .scripts import WARDEN

TICKS = 100
"""The kernel's clock ticks in a second."""

START_TIME = 60.0
"""Seconds after which a shell that was asked for, and said nothing, is given up, however long its caller would wait."""


def never_started(host: str) -> ConnectError:
    return ConnectError(
        f"{host}: its shell did not start within {START_TIME:.0f} s, though the way there is open: "
        "the machine may be overloaded, or its docker daemon stuck"
    )


class Warden:
    """Holds the lease on all shells of one host.

    It is a process at the far end that lives as long as its stdin. Its environment carries none of the tags that it
    looks for; the shells of the host carry ``tag``. Any thread may give orders; they are carried out one by one. One
    that did not answer is ``silent``: it counts as ``ended``, and is asked no more. It is ``gone`` when nothing is left
    to close.
    """

    def __init__(self, channel: Channel, tag: str) -> None:
        self.tag = tag
        self._channel = channel
        self._turn = threading.Lock()
        self._received = b""
        self.ended = False
        self.silent = False
        self.gone = False

    @classmethod
    def open(cls, host: ShellSource, deadline: Deadline) -> Warden:
        """Start the warden and wait until it answers. Raises what the host says when it cannot be started."""
        tag, begin = new_nonce(), Begin()
        script = f"{begin.printf}\n{WARDEN}"
        channel = host._open_shell(["-c", script, "otto-warden", f"OTTO_HOST={tag}"], tags={}, deadline=deadline)
        out = err = b""
        limit = deadline.at_most(START_TIME)
        try:
            while begin.shown not in out:
                chunk = channel.read(limit)
                if chunk.ended:
                    raise host._explain(out, err, channel.exit_status(deadline), deadline)
                out, err = (out + chunk.out)[-65536:], (err + chunk.err)[-65536:]
        except BaseException as error:
            channel.close()
            if isinstance(error, DeadlineExpired) and not deadline.expired:
                raise never_started(host.id) from None
            raise
        return cls(channel, tag)

    def look(self) -> None:
        """Notice its end, if that has arrived: a shell with the tag of a dead warden would have no lease."""
        if self.ended or not self._turn.acquire(blocking=False):
            return
        try:
            chunk = self._channel.read(Deadline.grace(0))
            self._received = (self._received + chunk.out)[-1024:]
            self.ended = self.gone = chunk.ended
        except DeadlineExpired:
            pass
        except OttoError:
            self.ended = self.gone = True
        finally:
            self._turn.release()

    def alive(self, deadline: Deadline) -> bool:
        """Whether it still answers: when it does not, its container or the way there is gone."""
        return self._order("now", deadline) is not None

    def end_run(self, run_tag: str, shell_pid: int, started_at: float, deadline: Deadline) -> bool:
        """End all that a command left which was started at that moment of ours, or later; but for its shell."""
        now = self._order("now", deadline)
        if now is None:
            return False
        # By the far end's clock. The answer's way here makes it a little too early, so that nothing is missed.
        since = now - int((monotonic() - started_at) * TICKS) - 1
        return self._order(f"run {run_tag} {shell_pid} {since}", deadline) is not None

    def end_shell(self, shell_tag: str, shell_pid: int | None, deadline: Deadline) -> bool:
        """End a shell and all that was started from it."""
        return self._order(f"shell {shell_tag} {shell_pid or ''}", deadline) is not None

    def _order(self, order: str, deadline: Deadline) -> int | None:
        """What it answered when the order was carried out; None when it did not answer."""
        remaining = deadline.remaining()
        if not self._turn.acquire(timeout=-1 if remaining is None else remaining):
            return None
        try:
            number = new_nonce()
            self._channel.write(f"{number} {order}\n".encode(), deadline)
            answer = re.compile(rf"<{number}:(\d+)>".encode())
            while not self.ended:
                if match := answer.search(self._received):
                    return int(match[1])
                chunk = self._channel.read(deadline)
                self.ended = self.gone = chunk.ended
                self._received = (self._received + chunk.out)[-1024:]
            return None
        except (DeadlineExpired, OttoError) as error:
            self.ended = self.silent = True
            self.gone = isinstance(error, ConnectionLost)
            return None
        finally:
            self._turn.release()

    def close(self, deadline: Deadline) -> None:
        """End the lease: all shells of the host end, then the warden itself."""
        try:
            self._channel.write(b"0 end\n", deadline)
            self._channel.write_eof()
            while not self._channel.read(deadline).ended:
                pass
        except (DeadlineExpired, OttoError):
            pass
        self._channel.close()
