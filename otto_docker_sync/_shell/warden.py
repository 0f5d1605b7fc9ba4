"""A helper shell beside a host's sessions: ends what commands leave behind, and everything when the client is gone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from enum import Enum
from time import monotonic

from .._channel.base import Channel, ShellSource
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, ConnectionLost, OttoError
from .scripts import lease_check, warden_command

TICKS = 100
"""The kernel's clock ticks in a second."""

START_TIME = 60.0
"""Seconds after which a shell that was asked for, and said nothing, is given up, however long its caller would wait."""

KILL_TIME = 2.0
"""Seconds that the ending of what a lost connection left may take."""


def never_started(host: str) -> ConnectError:
    return ConnectError(
        f"{host}: its shell did not start within {START_TIME:.0f} s, though the way there is open: "
        "the machine may be overloaded, or its docker daemon stuck"
    )


class State(Enum):
    """What is known of a warden. All but the first are ends: it is asked no more."""

    LIVING = "as far as anybody noticed"
    SILENT = "it did not answer; it may still hold its lease"
    KILLED = "it went without its connection, and left its shells"
    LOST = "it ends, and all shells with it, when its machine notices that the connection is gone"
    CLOSED = "we ended its lease, and all shells with it"


class Warden:
    """Holds the lease on all shells of one host.

    It is a process at the far end that lives as long as its stdin. Its environment carries none of the tags that it
    looks for; the shells of the host carry ``tag``, and begin with ``proof``, or they could outlive it. Any thread may
    give orders; they are carried out one by one.
    """

    def __init__(self, channel: Channel, tag: str, pid: int) -> None:
        self.tag = tag
        self.proof = lease_check(pid)
        self.state = State.LIVING
        self._channel = channel
        self._turn = threading.Lock()
        self._received = b""

    @classmethod
    def open(cls, host: ShellSource, deadline: Deadline) -> Warden:
        """Start the warden and wait until it answers. Raises what the host says when it cannot be started."""
        tag, begin = new_nonce(), BeginMarker()
        started = re.compile(re.escape(begin.output) + rb"\s+<(\d+)>")
        argv = ["-c", warden_command(begin), "otto-warden", f"OTTO_HOST={tag}"]
        channel = host._open_shell(argv, tags={}, deadline=deadline)
        out = err = b""
        limit = deadline.at_most(START_TIME)
        try:
            while (pid := started.search(out)) is None:
                chunk = channel.read(limit)
                if chunk.ended:
                    raise host._explain(out, err, channel.exit_status(deadline), deadline)
                out, err = (out + chunk.out)[-65536:], (err + chunk.err)[-65536:]
        except BaseException as error:
            channel.close()
            if isinstance(error, DeadlineExpired) and not deadline.expired:
                raise never_started(host.id) from None
            raise
        return cls(channel, tag, int(pid[1]))

    def look(self) -> None:
        """Notice its end, if that has arrived: a shell with the tag of a dead warden would have no lease."""
        if self.state is not State.LIVING or not self._turn.acquire(blocking=False):
            return
        try:
            if not self._take(Deadline.grace(0)):
                self._is(State.KILLED)
        except DeadlineExpired:
            pass
        except OttoError:
            self._is(State.LOST)
        finally:
            self._turn.release()

    def _take(self, deadline: Deadline) -> bool:
        """Take what arrives; False is the end."""
        chunk = self._channel.read(deadline)
        self._received = (self._received + chunk.out)[-1024:]
        return not chunk.ended

    def _is(self, state: State) -> None:
        if self.state is not State.CLOSED:
            self.state = state

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
        if not deadline.acquire(self._turn):
            return None
        try:
            if self.state is not State.LIVING:
                return None
            answer = self._exchange(order, deadline)
            if answer is None:
                self._is(State.KILLED)
            return answer
        except (DeadlineExpired, OttoError) as error:
            self._is(State.LOST if isinstance(error, ConnectionLost) else State.SILENT)
            return None
        finally:
            self._turn.release()

    def _exchange(self, order: str, deadline: Deadline) -> int | None:
        """What it answered; None when it ended instead."""
        number = new_nonce()
        self._channel.write(f"{number} {order}\n".encode(), deadline)
        answer = re.compile(rf"<{number}:(\d+)>".encode())
        while (match := answer.search(self._received)) is None:
            if not self._take(deadline):
                return None
        return int(match[1])

    def close(self, deadline: Deadline) -> None:
        """End the lease, and wait until all shells of the host have ended. Twice is once."""
        self.look()
        if self.state not in (State.KILLED, State.CLOSED):
            self.state = State.CLOSED
            if deadline.acquire(self._turn):
                try:
                    if self._exchange("end", deadline) is None:
                        self.state = State.KILLED
                except (DeadlineExpired, OttoError):
                    pass  # it ends when its channel does
                finally:
                    self._turn.release()
        self.let_go()

    def let_go(self) -> None:
        """Close its channel, of which nothing more will come."""
        self._channel.close()


class Wardens:
    """The warden of a host, brought up when a shell needs one, and those before it that still hold a lease."""

    def __init__(self, start: Callable[[Deadline, bool], Warden]) -> None:
        self._start = start
        self._starting = threading.Lock()
        self._changing = threading.Lock()
        self._held: list[Warden] = []

    @property
    def _last(self) -> Warden | None:
        with self._changing:
            return self._held[-1] if self._held else None

    def present(self, deadline: Deadline, *, revive: bool = True) -> Warden:
        """The one that lives, started when there is none. With `revive`, what it needs for that is brought up, too."""
        if not deadline.acquire(self._starting):
            raise DeadlineExpired
        try:
            warden = self._last
            if warden is not None and revive:
                warden.look()
            if warden is None or warden.state is not State.LIVING:
                warden = self._start(deadline, revive)
                self._replace(warden)
            return warden
        finally:
            self._starting.release()

    def _replace(self, warden: Warden) -> None:
        # A silent one is kept: with its channel its lease would end, and the shells on that.
        with self._changing:
            gone = [old for old in self._held if old.state is not State.SILENT]
            self._held = [old for old in self._held if old not in gone] + [warden]
        for old in gone:
            old.let_go()
            if old.state is State.LOST:  # its machine may notice that only in hours
                warden.end_shell(f"OTTO_HOST={old.tag}", None, Deadline.grace(KILL_TIME))

    def ask(self, holder: Warden, order: Callable[[Warden], bool], deadline: Deadline) -> bool:
        """Have an order carried out that concerns a shell on the lease of `holder`, by that or the present warden.

        Whether it was. Does not raise, and brings up nothing but a warden for it.
        """
        holder.look()
        warden, last = holder, self._last
        if holder.state is not State.LIVING:
            if holder.state is State.CLOSED or (last is not None and last.state in (State.SILENT, State.LOST)):
                return False  # the shell ends with its lease, or else nobody would answer now
            try:
                warden = self.present(deadline, revive=False)
            except (DeadlineExpired, OttoError):
                return False
        return order(warden)

    def close(self, deadline: Deadline) -> None:
        """End all leases, and with them all shells of the host but those whose warden was killed."""
        with self._changing:
            held, self._held = self._held, []
        for warden in held:
            warden.close(Deadline.grace(0) if warden.state is State.SILENT else deadline)
