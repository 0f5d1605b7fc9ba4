"""Commands that are repeated, each on a thread of its own."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Union

from ._shell import Runner
from .arguments import check_commands, check_count, check_seconds
from .deadline import Cancellation, Timeout, cancellation, timeout_seconds
from .errors import ConfigError, OttoError, UnsupportedParentError
from .limits import STOP_TIME
from .locks import Signal, start_thread
from .result import CommandResult, RunResult, ShellCommand, Status
from .session import HostSession, Sessions

RepeatCommand = Union[str, Sequence[Union[str, ShellCommand]]]
Repeated = Union[CommandResult, RunResult]
"""The result of one turn: a CommandResult if one command is repeated, a RunResult if a list is."""


class Repeats:
    """The repeats of one host, by name. It owns their threads. Any thread may call its methods.

    A repeat runs in a session of its own. So its commands keep their state from turn to turn, and do not change the
    state of other sessions. On a host without sessions each command is a oneshot.
    """

    def __init__(self, runner: Runner, sessions: Sessions) -> None:
        self._runner = runner
        self._sessions = sessions
        self._host_id = runner.backend.id
        self._lock = threading.Lock()
        self._repeats: dict[str, _Repeat] = {}

    def start(
        self,
        name: str,
        cmds: RepeatCommand,
        interval: Timeout,
        *,
        times: int | None = None,
        duration: Timeout = None,
        until: Callable[[Repeated], object] | None = None,
        on_result: Callable[[Repeated], object] | None = None,
        max_history: int = 1000,
    ) -> None:
        """Run `cmds` now and then every `interval` seconds. See `Host.start_repeat`."""
        check_commands("cmds", cmds)
        seconds = check_seconds("interval", interval)
        check_count("max_history", max_history, minimum=1)
        if times is not None:
            check_count("times", times, minimum=1)
        with self._lock:
            earlier = self._repeats.get(name)
            if earlier is not None and earlier.running:
                raise ConfigError(f"{self._host_id}: the repeat {name!r} runs already; stop it first, or choose a name")
            repeat = _Repeat(
                self._runner, self._sessions, name, cmds, seconds, times, timeout_seconds(duration), until, on_result
            )
            repeat.results = deque(maxlen=max_history)
            self._repeats[name] = repeat
            start_thread(repeat.thread)

    def stop(self, name: str) -> None:
        """Stop one repeat and wait for its end, except from its own thread. See `Host.stop_repeat`."""
        self._find(name).stop()

    def stop_all(self) -> None:
        """Stop all repeats. See `Host.stop_all_repeats`."""
        with self._lock:
            repeats = list(self._repeats.values())
        for repeat in repeats:
            repeat.ask_to_stop()
        for repeat in repeats:
            repeat.stop()

    def results(self, name: str) -> list[Repeated]:
        """Return the results so far, oldest first. See `Host.repeat_results`."""
        return list(self._find(name).results)

    def _find(self, name: str) -> _Repeat:
        with self._lock:
            if name not in self._repeats:
                known = ", ".join(sorted(self._repeats)) or "none was started"
                raise ConfigError(f"{self._host_id}: there is no repeat {name!r}; known: {known}")
            return self._repeats[name]


class _Repeat:
    results: deque[Repeated]

    def __init__(
        self,
        runner: Runner,
        sessions: Sessions,
        name: str,
        cmds: RepeatCommand,
        interval: float,
        times: int | None,
        duration: float | None,
        until: Callable[[Repeated], object] | None,
        on_result: Callable[[Repeated], object] | None,
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._backend = runner.backend
        self._name = name
        self._cmds = cmds if isinstance(cmds, str) else list(cmds)
        self._interval = interval
        self._times = times
        self._duration = duration
        self._until = until
        self._on_result = on_result
        self._session: HostSession | None = None
        self._stopping = Signal()
        self._cancellation = Cancellation("the repeat was stopped")
        # A daemon, so that a repeat which nobody stopped does not keep the interpreter from exiting.
        self.thread = threading.Thread(target=self._turns, name=f"otto-repeat-{runner.backend.id}-{name}", daemon=True)

    @property
    def running(self) -> bool:
        return self.thread.is_alive() and not self._stopping.is_set()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        # In its own thread a callback asks, which may go on using the host.
        if self.thread is not threading.current_thread():
            self._cancellation.cancel()

    def stop(self) -> None:
        self.ask_to_stop()
        if self.thread is not threading.current_thread():
            self.thread.join(STOP_TIME)

    def _turns(self) -> None:
        cancellation.set(self._cancellation)
        began = monotonic()
        count = 0
        try:
            while not self._stopping.is_set():
                result = self._turn()
                self.results.append(result)
                count += 1
                if self._tell(result) or count == self._times:
                    break
                # Until the next multiple of the interval: late turns are skipped, and delays do not add up.
                passed = monotonic() - began
                pause = self._interval - passed % self._interval
                if self._duration is not None and passed + pause >= self._duration:
                    break
                self._stopping.wait(pause)
        finally:
            if self._session is not None:
                self._session.close()

    def _turn(self) -> Repeated:
        began = monotonic()
        try:
            if not self._backend.sessions_refusal():
                self._session = self._sessions.open(f"repeat:{self._name}")
                return self._session.run(self._cmds)
            if isinstance(self._cmds, str):
                return self._runner.oneshot(self._cmds)
            return RunResult([self._oneshot(item) for item in self._cmds])
        except Exception as error:
            if not isinstance(error, OttoError):
                self._report("a turn")
            result = CommandResult(
                command=self._cmds if isinstance(self._cmds, str) else "; ".join(map(_text, self._cmds)),
                status=Status.ERROR,
                message=str(error) or repr(error),
                duration=monotonic() - began,
                host=self._backend.id,
            )
            return result if isinstance(self._cmds, str) else RunResult([result])

    def _oneshot(self, item: str | ShellCommand) -> CommandResult:
        if isinstance(item, str):
            return self._runner.oneshot(item)
        if item.expects is not None:
            raise UnsupportedParentError(self._backend.sessions_refusal())
        return self._runner.oneshot(item.cmd, item.timeout)

    def _tell(self, result: Repeated) -> bool:
        """Call the callbacks, and return whether the repeat is over. An error in a callback does not end it."""
        over = False
        if not self._stopping.is_set():
            try:
                if self._on_result is not None:
                    self._on_result(result)
                over = self._until is not None and bool(self._until(result))
            except Exception:
                self._report("a callback")
        return over

    def _report(self, what: str) -> None:
        self._backend.log.event(f"repeat {self._name!r}: {what} failed\n{traceback.format_exc()}", logging.ERROR)


def _text(item: str | ShellCommand) -> str:
    return item if isinstance(item, str) else item.cmd
