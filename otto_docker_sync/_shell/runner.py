"""What all calls on one host share, and the way of a command to its result."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import NamedTuple

from .._channel.backend import Backend
from .._channel.base import KILL_STATUS
from ..arguments import check_callback, check_directory, check_environment, check_user
from ..deadline import Cancellation, Deadline, DeadlineExpired, Timeout
from ..errors import OttoError
from ..limits import CALL_END_TIME, KILLED_PATIENCE, LOSS_PATIENCE
from ..locks import Signal
from ..result import Command, CommandResult, Status
from .capture import Capture, Sink
from .oneshot import Outcome, command_text, run_oneshot
from .spares import Spares
from .stdin import CommandInput, Input
from .warden import WardenKeeper

observers: list[Callable[[Backend], object]] = []
"""Each is called with the backend of a host when a call on that host begins: the report of a failed test wants to know
which hosts the test has used."""


class Call(NamedTuple):
    """A call in flight: the thread that makes it, and the event of its end."""

    thread_id: int
    ended: Signal


class Runner:
    """What all calls on one host share: its backend, its wardens, its spare shells, and which calls are in flight.

    The host's face and each of its sessions hold the same one. Any thread may use it. `default_timeout` returns the
    host's present setting, which its user may change at any time.
    """

    def __init__(self, backend: Backend, default_timeout: Callable[[], Timeout]) -> None:
        self.backend = backend
        self.wardens = WardenKeeper(backend)
        self.spares = Spares(backend)
        self._default_timeout = default_timeout
        self._lock = threading.Lock()
        self._calls: dict[Cancellation, Call] = {}
        """The calls in flight."""

    def deadline(self, timeout: Timeout) -> Deadline:
        """Start the clock of a public call; None stands for the host's default."""
        return Deadline.after(self._default_timeout() if timeout is None else timeout)

    @contextmanager
    def call(self, deadline: Deadline, *, may_be_idle: bool = False) -> Iterator[Deadline]:
        """Let `cancel_calls` end the call that runs inside the block, by the deadline that this yields.

        One that `may_be_idle`, as an iterator is between two steps, is not waited for then. Raises `ReservationError`
        when the host may not be used now.
        """
        deadline = deadline.also(*self._enter())
        cancellation = Cancellation()
        call = Call(threading.get_ident(), Signal())
        if may_be_idle:
            call.ended.set()
        try:
            with self._lock:
                self._calls[cancellation] = call
            yield deadline.also(cancellation)
        finally:
            with self._lock:
                self._calls.pop(cancellation, None)
            call.ended.set()

    @contextmanager
    def use(self, deadline: Deadline) -> Iterator[Deadline]:
        """As `call`, for verbs without a result, which end with the session when their host is closed.

        Raises `ReservationLost` also when that is why the block was interrupted.
        """
        try:
            yield deadline.also(*self._enter())
        except (OttoError, DeadlineExpired):
            self.backend.guard.check()
            raise

    def _enter(self) -> Sequence[Cancellation]:
        """Begin a call: return what may interrupt it. Raises `ReservationError`."""
        interrupts = self.backend.guard.enter()
        for observe in observers:
            observe(self.backend)
        return interrupts

    @contextmanager
    def cancel_calls(self, reason: str) -> Iterator[None]:
        """Cancel all calls in flight, then run the block, then wait until they have ended, CALL_END_TIME at most."""
        with self._lock:
            calls, self._calls = self._calls, {}
        for cancellation in calls:
            cancellation.reason = reason
            cancellation.cancel()
        yield
        limit = Deadline.grace(CALL_END_TIME)
        for call in calls.values():
            # A call of this thread is around us, when an output callback closes its own host: it cannot end before us.
            if call.thread_id != threading.get_ident():
                call.ended.wait(limit.remaining())

    def variant(
        self, env: Mapping[str, str] | None, workdir: str | os.PathLike[str] | None, user: str | None
    ) -> tuple[Backend, Mapping[str, str]]:
        """Return the backend and the further environment for one call with these arguments; see `Host.oneshot`."""
        environment = check_environment("env", env) if env is not None else {}
        backend = self.backend.run_as(
            None if user is None else check_user("user", user),
            None if workdir is None else check_directory("workdir", workdir),
        )
        return backend, environment

    def oneshot(
        self,
        cmd: Command,
        timeout: Timeout = None,
        *,
        on_output: Sink | None = None,
        log: bool = True,
        input: Input | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | os.PathLike[str] | None = None,
        user: str | None = None,
    ) -> CommandResult:
        """Run a command in a fresh process; see `Host.oneshot`."""
        text = command_text(cmd)
        deadline = self.deadline(timeout)
        backend, environment = self.variant(env, workdir, user)
        stdin = None if input is None or (isinstance(input, (str, bytes)) and not input) else CommandInput(input)
        record = CommandRecord(self.backend, text, on_output, log)
        with self.call(deadline) as deadline:
            try:
                outcome = self._run_to_end(backend, cmd, deadline, record.capture, environment, stdin)
            except DeadlineExpired as late:
                why = f": {late}" if str(late) else ""
                outcome = Outcome.out_of_time(deadline, f"before the command was started{why}")
        return record.finish(outcome)

    def _run_to_end(
        self,
        backend: Backend,
        cmd: Command,
        deadline: Deadline,
        capture: Capture,
        environment: Mapping[str, str],
        stdin: CommandInput | None,
    ) -> Outcome:
        """Run it on a spare shell where one is ready for it, otherwise in one that is started for it."""
        outcome = None
        if backend is self.backend and stdin is None:
            outcome = self.spares.run(cmd, environment, deadline, capture)
        if outcome is None:
            outcome = backend.retry_once_recovered(
                lambda: run_oneshot(backend, cmd, deadline, capture, environment=environment, stdin=stdin), deadline
            )
        if outcome.retcode is not None:
            self.spares.refill(deadline)
        return outcome


class CommandRecord:
    """One command on its way to its result: logged from now on, its output collected in ``capture``.

    `make_capture` makes another kind of capture, of the function that logs.
    """

    def __init__(
        self,
        backend: Backend,
        command: str,
        on_output: Sink | None,
        log: bool,
        make_capture: Callable[[Sink], Capture] | None = None,
    ) -> None:
        check_callback("on_output", on_output)
        self._backend = backend
        self._command = command
        self._log = backend.log.command(command, log=log)
        log_output = self._log.output
        self.capture = make_capture(log_output) if make_capture else Capture(on_output, log_output)
        self._started_at = monotonic()

    def finish(self, outcome: Outcome) -> CommandResult:
        """Return the result, now that the command has ended."""
        duration = monotonic() - self._started_at
        capture = self.capture
        capture.finish()
        if outcome.retcode == KILL_STATUS and not outcome.message:
            self._ask_whether_host_died(outcome)
        message = outcome.message
        if capture.output.dropped:
            message = f"{message}; " if message else ""
            message += f"the first {capture.output.dropped} bytes of the output {capture.where_dropped}"
        # The pieces of the output go before it is decoded: it must not be held three times. On a terminal there is one
        # stream only; without stderr, stdout is the output too.
        out, err = capture.streams
        data = capture.output.take()
        output = data.decode("utf-8", "replace")
        stdout, stdout_bytes, stderr_bytes = output, data, err.take()
        if out is not capture.output:
            stdout_bytes = out.take()
            stdout = stdout_bytes.decode("utf-8", "replace")
        result = CommandResult(
            self._command,
            output=output,
            output_bytes=data,
            stdout=stdout,
            stderr=stderr_bytes.decode("utf-8", "replace"),
            stdout_bytes=stdout_bytes,
            stderr_bytes=stderr_bytes,
            status=_status_of(outcome.retcode),
            retcode=outcome.retcode,
            timed_out=outcome.timed_out,
            session_ended=outcome.session_ended,
            new_session=outcome.new_session,
            message=message,
            duration=duration,
            host=self._backend.id,
        )
        self._log.end(f"{result.message or f'exit status {result.retcode}'}, {result.duration:.2f} s")
        return result

    def _ask_whether_host_died(self, outcome: Outcome) -> None:
        """A command that was killed, perhaps with its container: that kills its processes one by one."""
        with suppress(OttoError, DeadlineExpired):
            reason = self._backend.loss_reason(self._started_at, KILLED_PATIENCE, Deadline.grace(LOSS_PATIENCE))
            if reason:
                outcome.retcode = None
                outcome.message = f"the outcome is unknown: {reason}"


def _status_of(retcode: int | None) -> Status:
    if retcode is None:
        return Status.ERROR
    return Status.SUCCESS if retcode == 0 else Status.FAILED
