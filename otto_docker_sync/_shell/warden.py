"""A helper shell beside a host's sessions: ends what commands leave behind, and everything when the client is gone.

The plan. Every shell of a host carries the ``tag`` of one warden in its environment, and so does all that is started
from it. The warden is a process on the host that lives as long as its stdin, and when that ends it kills whatever
carries the tag. So it does not matter how the client ends: a closed channel, a lost connection and a killed client
look the same to the warden. While it lives, it also takes orders: end what one command left, end one shell.

What can go wrong with a warden, and what is done then, is the business of `WardenKeeper`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from enum import Enum
from time import monotonic

from .._channel.backend import Backend
from .._channel.base import Channel
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, ConnectionLost, OttoError
from ..limits import KILL_TIME, START_TIME
from ..locks import AbandonableLock
from .leftovers import Report, end_left, find_report
from .scripts import lease_check, warden_command

TICKS = 100
"""The kernel's clock ticks in a second, in which a process's start is given in /proc."""


PID = re.compile(rb"\s+<(\d+)>")
"""The process id that a warden says after its begin marker."""


def never_started(host: str, seconds: float = START_TIME) -> ConnectError:
    """Return the error for a shell that says nothing, though the connection works."""
    return ConnectError(
        f"{host}: its shell did not start within {seconds:.0f} s, though the connection works: "
        "the machine may be overloaded, or its docker daemon stuck"
    )


class State(Enum):
    """What is known of a warden. All states but the first are final: it gets no more orders."""

    ALIVE = "as far as anybody noticed"
    UNRESPONSIVE = "it did not answer in time; it may still hold its lease"
    KILLED = "it ended while its connection lived, and left its shells running"
    DISCONNECTED = "it ends, and all shells with it, when its machine notices that the connection is gone"
    CLOSED = "we ended its lease, and all shells with it"


class Warden:
    """Holds the lease on all shells of one host.

    Its own environment carries none of the tags that it looks for, or it would end itself. A shell starts with
    ``lease_check``, by which one that docker starts late sees that its lease has ended, and leaves. Any thread may
    give orders; they are carried out one by one.
    """

    def __init__(self, channel: Channel, tag: str, pid: int) -> None:
        self.tag = tag
        self.lease_check = lease_check(pid)
        self.state = State.ALIVE
        self._channel = channel
        self._order_lock = AbandonableLock()
        self._received = b""

    @classmethod
    def open(cls, backend: Backend, deadline: Deadline) -> Warden:
        """Start the warden and wait until it answers. Raises the host's `startup_error` when it does not start."""
        tag, begin = new_nonce(), BeginMarker()
        argv = ["-c", warden_command(begin), "otto-warden", f"OTTO_HOST={tag}"]
        channel = backend.open_shell(argv, deadline=deadline)
        out = err = b""
        limit = deadline.at_most(START_TIME)
        try:
            while (pid := PID.match(out.partition(begin.output)[2])) is None:
                chunk = channel.read(limit)
                if chunk.ended:
                    raise backend.startup_error(out, err, channel.exit_status(deadline), deadline)
                out, err = (out + chunk.out)[-65536:], (err + chunk.err)[-65536:]
        except BaseException as error:
            channel.close()
            if isinstance(error, DeadlineExpired) and not deadline.expired:
                raise never_started(backend.id) from None
            raise
        return cls(channel, tag, int(pid[1]))

    def poll(self) -> None:
        """Notice the warden's end, if news of it has arrived: a shell with a dead warden's tag would have no lease."""
        # The thread that has the lock is talking to the warden, and will notice.
        if self.state is not State.ALIVE:
            return
        try:
            if not self._order_lock.acquire(Deadline.grace(0)):
                return
            if not self._receive(Deadline.grace(0)):
                self._set_state(State.KILLED)
        except DeadlineExpired:
            pass
        except OttoError:
            self._set_state(State.DISCONNECTED)
        finally:
            self._order_lock.release()

    def _receive(self, deadline: Deadline) -> bool:
        """Take what arrives, and return False at the end of the channel."""
        chunk = self._channel.read(deadline)
        self._received = (self._received + chunk.out)[-65536:]
        return not chunk.ended

    def _set_state(self, state: State) -> None:
        # A thread whose order was cut off by `close` must not report that as a loss.
        if self.state is not State.CLOSED:
            self.state = state

    def alive(self, deadline: Deadline) -> bool:
        """Ask it, and return whether it answers. If not, its container or the connection is gone."""
        return self._order("now", deadline) is not None

    def end_run(self, run_tag: str, shell_pid: int, started_at: float, deadline: Deadline) -> Report | None:
        """End what a command left that was started at `started_at` (monotonic) or later, but not its shell.

        Returns what could not be ended; None when the order was not carried out.
        """
        answer = self._order("now", deadline)
        if answer is None:
            return None
        # By the remote clock. The time that the answer took makes this a little too early, so nothing is missed.
        since = answer.number - int((monotonic() - started_at) * TICKS) - 1
        return self._order(f"run {run_tag} {shell_pid} {since}", deadline)

    def end_shell(self, shell_tag: str, shell_pid: int | None, deadline: Deadline) -> Report | None:
        """End a shell and all that was started from it; returns what `end_run` does."""
        return self._order(f"shell {shell_tag} {shell_pid or ''}", deadline)

    def _order(self, order: str, deadline: Deadline) -> Report | None:
        """Send an order, and return the answer; None when there is none. Does not raise."""
        try:
            if not self._order_lock.acquire(deadline) or self.state is not State.ALIVE:
                return None
            answer = self._exchange(order, deadline)
            if answer is None:
                self._set_state(State.KILLED)
            return answer
        except (DeadlineExpired, OttoError) as error:
            # After a late answer nobody knows which order it belongs to, so there are no more orders.
            self._set_state(State.DISCONNECTED if isinstance(error, ConnectionLost) else State.UNRESPONSIVE)
            return None
        finally:
            self._order_lock.release()

    def _exchange(self, order: str, deadline: Deadline) -> Report | None:
        """Send an order, and return the answer; None when the warden ended instead."""
        nonce = new_nonce()
        self._channel.write(f"{nonce} {order}\n".encode(), deadline)
        while (report := find_report(nonce, self._received)) is None:
            if not self._receive(deadline):
                return None
        return report

    def close(self, deadline: Deadline) -> Report:
        """End the lease, and wait until all shells of the host have ended. Idempotent.

        Returns what could not be ended, as far as the warden could say.
        """
        self.poll()
        report: Report | None = None
        if self.state not in (State.KILLED, State.CLOSED):
            self.state = State.CLOSED
            try:
                if self._order_lock.acquire(deadline):
                    report = self._exchange("end", deadline)
                    if report is None:
                        self.state = State.KILLED
            except (DeadlineExpired, OttoError):
                pass  # the lease ends with the channel, when the remote side notices
            finally:
                self._order_lock.release()
        self.detach()
        return report or Report()

    def detach(self) -> None:
        """Close its channel."""
        self._channel.close()


class WardenKeeper:
    """The current warden of a host, started when a shell needs one, and earlier ones that may still hold a lease.

    An unresponsive warden is kept: closing its channel would end its lease, and with it shells that may be fine. What
    a disconnected one had is ended by its successor, since its machine may notice the loss only in hours.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # One thread starts a warden, the others wait for that one.
        self._starting = AbandonableLock()
        # Protects `_held`. Nobody waits for the network while holding it.
        self._changing = threading.Lock()
        self._held: list[Warden] = []

    @property
    def _last(self) -> Warden | None:
        with self._changing:
            return self._held[-1] if self._held else None

    def current(self, deadline: Deadline) -> Warden:
        """Return the warden that is alive; start one when there is none, and recover the host for that if need be."""
        return self._current(deadline, for_shell=True)

    def _current(self, deadline: Deadline, *, for_shell: bool) -> Warden:
        try:
            if not self._starting.acquire(deadline):
                raise DeadlineExpired
            warden = self._last
            if warden is not None and for_shell:
                warden.poll()
            if warden is None or warden.state is not State.ALIVE:
                warden = self._start(deadline, for_shell)
                self._replace(warden)
            return warden
        finally:
            self._starting.release()

    def _start(self, deadline: Deadline, for_shell: bool) -> Warden:
        self._backend.require_sessions()
        if for_shell:
            return self._backend.retry_once_recovered(lambda: Warden.open(self._backend, deadline), deadline)
        # Cleaning up must not bring a stack up, nor search for a container.
        if not self._backend.is_resolved():
            raise ConnectError(f"{self._backend.id}: cannot clean up: the container is not known")
        return Warden.open(self._backend, deadline)

    def _replace(self, warden: Warden) -> None:
        with self._changing:
            gone = [old for old in self._held if old.state is not State.UNRESPONSIVE]
            self._held = [old for old in self._held if old not in gone] + [warden]
        for old in gone:
            old.detach()
            if old.state is State.DISCONNECTED:
                tag = f"OTTO_HOST={old.tag}"
                self._log_left(warden.end_shell(tag, None, Deadline.grace(KILL_TIME)), tag)

    def end_run(
        self, holder: Warden, run_tag: str, shell_pid: int, started_at: float, deadline: Deadline
    ) -> str | None:
        """Have `holder`, or the current warden if that is gone, end what a command left.

        Returns in words what could not be ended; None when the order was not carried out. Does not raise.
        """
        report = self._dispatch(
            holder, lambda warden: warden.end_run(run_tag, shell_pid, started_at, deadline), deadline
        )
        if report is None:
            return None
        left = end_left(self._backend, report, run_tag, shell_pid, name_unseen=True)
        if left:
            self._backend.log.event(f"a command was stopped; {left}", logging.WARNING)
        return left

    def end_shell(self, holder: Warden, shell_tag: str, shell_pid: int | None, deadline: Deadline) -> bool:
        """Have `holder`, or the current warden if that is gone, end a shell and all that was started from it.

        Returns whether the order was carried out; what could not be ended is logged. Does not raise.
        """
        report = self._dispatch(holder, lambda warden: warden.end_shell(shell_tag, shell_pid, deadline), deadline)
        self._log_left(report, shell_tag)
        return report is not None

    def _log_left(self, report: Report | None, tag: str) -> None:
        left = end_left(self._backend, report or Report(), tag, name_unseen=False)
        if left:
            self._backend.log.event(f"sessions were closed; {left}", logging.WARNING)

    def _dispatch(self, holder: Warden, order: Callable[[Warden], Report | None], deadline: Deadline) -> Report | None:
        """Send `order` to `holder`, or to the current warden if `holder` is gone.

        Returns None when it was not carried out. Never raises, and starts nothing but a warden.
        """
        holder.poll()
        if holder.state is State.ALIVE:
            return order(holder)
        # After CLOSED the shell ends with its lease. Where the last warden is silent, a new one would be, too.
        last = self._last
        if holder.state is State.CLOSED:
            return None
        if last is not None and last.state in (State.UNRESPONSIVE, State.DISCONNECTED):
            return None
        try:
            return order(self._current(deadline, for_shell=False))
        except (DeadlineExpired, OttoError):
            return None

    def close(self, deadline: Deadline) -> None:
        """End all leases, and with them all shells of the host but those whose warden was killed."""
        with self._changing:
            held, self._held = self._held, []
        for warden in held:
            # An unresponsive one would cost the whole time limit; its lease ends with its channel.
            limit = Deadline.grace(0) if warden.state is State.UNRESPONSIVE else deadline
            self._log_left(warden.close(limit), f"OTTO_HOST={warden.tag}")
