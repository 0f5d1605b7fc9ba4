"""Shells that wait in a container, so that a oneshot need not wait for docker to start one.

The plan. A *spare* is a shell on a channel of its own that runs one oneshot after another (spare.sh), each in a new
shell, and says when it is ready for the next. It looks itself for what a oneshot has left behind, and ends if it finds
something; so whoever gets a spare that is ready gets one that nobody can tell from a new one. What cannot be known for
certain (a timeout, a cancelled call, an error) ends the spare as it ends a oneshot. Spares are started by the threads
that call `oneshot`, after their own command has ended, and nobody waits for one to start.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from .._channel.backend import Backend
from .._channel.base import Channel
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import OttoError
from ..limits import MAX_SPARE_FAILURES, SPARE_BEGIN, SPARE_START, SPARE_WAIT
from ..result import Command
from .capture import Capture
from .interposed import stream_probe
from .oneshot import Marks, Outcome, command_script, ended_early, exchange
from .scripts import export_text, loader, spare_script

SHOWN_AS = ": otto-docker: a spare shell, which waits for a oneshot"
"""What a process list shows of a spare."""


class Spare:
    """One waiting shell. One thread at a time uses it."""

    def __init__(self, channel: Channel, tag: str, ready: BeginMarker, origin: object) -> None:
        self.channel = channel
        self._tag = tag
        self.origin = origin
        """What it was started for: a container and the marks of a reservation; another one of these needs another."""
        self.has_served = False
        self._ready = ready.output
        self._received = b""

    @classmethod
    def start(cls, backend: Backend, origin: object, deadline: Deadline) -> Spare:
        """Start one, without waiting until it is ready."""
        nonce, ready = new_nonce(), BeginMarker()
        marker_env = {"OTTO_TAG": nonce, **backend.guard.marker_env()}
        argv = ["-c", f"{SHOWN_AS}\n{loader(nonce)}"]
        channel = backend.open_shell(argv, marker_env=marker_env, deadline=deadline)
        try:
            text = stream_probe(nonce, channel) + spare_script(nonce, ready, backend.shell, merged=channel.tty)
            channel.write(text, deadline)
        except BaseException:
            channel.close()
            raise
        return cls(channel, nonce, ready, origin)

    def is_ready(self, deadline: Deadline) -> bool:
        """Wait until it is ready; False when it has ended. Raises `DeadlineExpired`."""
        while self._ready not in self._received:
            chunk = self.channel.read(deadline)
            if chunk.ended:
                return False
            self._received = (self._received + chunk.out)[-4096:]
        # It may have ended since; and what wrote to its stdout since is nothing that it knows of.
        with suppress(DeadlineExpired):
            chunk = self.channel.read(Deadline.grace(0))
            return not chunk.ended and not chunk.out
        return True

    def run(
        self, backend: Backend, command: Command, environment: Mapping[str, str], deadline: Deadline, capture: Capture
    ) -> Outcome | None:
        """Run `command` as `run_oneshot` does. None when the spare has ended before the command was started.

        After an exit status it may be used again, as soon as it `is_ready`; otherwise it has to be closed.
        """
        started_at = monotonic()
        nonce, marks = new_nonce(), Marks(merged=self.channel.tty)
        header = f"{nonce} {marks.begin.first} {marks.begin.second} {marks.end}\n"
        exports = export_text({**backend.environment(), **environment})
        request = f"{header}{exports}{nonce}\n".encode("utf-8", "surrogateescape")
        request += command_script(command) + f"\n{nonce}\n".encode()
        outcome = exchange(backend, self.channel, self._tag, marks, request, deadline, capture, start_time=SPARE_BEGIN)
        self.has_served = True
        self._received = marks.sections[0].rest[-4096:]
        if outcome is None and marks.started:
            return ended_early(backend, self.channel, marks, started_at, self._tag)
        return outcome


class Spares:
    """The spares of one host, at most ``backend.warm``. It owns them. Any thread may use it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Nobody waits for the network while holding it.
        self._lock = threading.Lock()
        self._waiting: deque[Spare] = deque()
        self._count = 0
        """Waiting, at work, and just being started."""
        self._era = 0
        """Goes up when all are ended: what comes back later is ended, too."""
        self._failures = 0
        """How many in a row have ended before they were ready."""

    def run(
        self, command: Command, environment: Mapping[str, str], deadline: Deadline, capture: Capture
    ) -> Outcome | None:
        """Run `command` on a spare; None when there is none that is ready, and nothing has run."""
        if not self._backend.warm:
            return None
        era = self._era
        spare = self._take(era, deadline)
        if spare is None:
            return None
        outcome = None
        try:
            outcome = spare.run(self._backend, command, environment, deadline, capture)
        finally:
            if outcome is not None and outcome.retcode is not None:
                self._give_back(spare, era)
            else:
                self._discard(spare)
        return outcome

    def _take(self, era: int, deadline: Deadline) -> Spare | None:
        """Return one that is ready, or will be in a moment."""
        origin = self._origin()
        busy: list[Spare] = []
        try:
            for _ in range(len(self._waiting)):
                if not self._pop_to(busy):
                    break
                spare = busy[-1]
                ready = self._is_ready(spare, Deadline.grace(0)) if spare.origin == origin else False
                if ready is None:
                    continue
                busy.remove(spare)
                if ready:
                    return spare
                self._discard(spare)
            # One that has served looks for what is left: that takes less time than a start.
            for spare in busy:
                if spare.has_served:
                    ready = self._is_ready(spare, deadline.at_most(SPARE_WAIT))
                    if ready is None:
                        break
                    busy.remove(spare)
                    if ready:
                        return spare
                    self._discard(spare)
                    break
            return None
        finally:
            for spare in busy:
                self._give_back(spare, era)

    def _is_ready(self, spare: Spare, deadline: Deadline) -> bool | None:
        """Whether it is ready; None when that is not known in time."""
        try:
            ready = spare.is_ready(deadline)
        except DeadlineExpired:
            return None
        except OttoError:
            ready = False
        with self._lock:
            if ready:
                self._failures = 0
            elif not spare.has_served:
                self._failures += 1
        return ready

    def _pop_to(self, taken: list[Spare]) -> bool:
        """Move one that waits to `taken`; False when there is none. A return value could be lost by an interrupt."""
        with self._lock:
            if self._waiting:
                taken.append(self._waiting.popleft())
                return True
        return False

    def _origin(self) -> object:
        """What a spare that is started now is for; see `Spare.origin`."""
        return self._backend.origin(), tuple(self._backend.guard.marker_env().items())

    def _give_back(self, spare: Spare, era: int) -> None:
        with self._lock:
            if era == self._era:
                self._waiting.append(spare)
                return
        self._discard(spare)

    def _discard(self, spare: Spare) -> None:
        spare.channel.close()
        with self._lock:
            self._count -= 1

    def refill(self, deadline: Deadline) -> None:
        """Start as many as there should be. Does not wait until they are ready, and does not raise."""
        while True:
            with self._lock:
                era = self._era
                if self._count >= self._backend.warm or self._failures >= MAX_SPARE_FAILURES:
                    return
                self._count += 1
            spare = None
            try:
                spare = Spare.start(self._backend, self._origin(), deadline.at_most(SPARE_START))
            except (OttoError, DeadlineExpired):
                return
            finally:
                if spare is None:
                    with self._lock:
                        self._count -= 1
                else:
                    self._give_back(spare, era)

    def close(self, deadline: Deadline) -> None:
        """End those that wait, and have those that work end when they come back. The next call starts new ones."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            self._era += 1
            self._failures = 0
        for spare in waiting:
            with suppress(OttoError):
                spare.channel.write_eof()
        for spare in waiting:
            with suppress(OttoError, DeadlineExpired):
                while not spare.channel.read(deadline).ended:
                    pass
            self._discard(spare)
