"""One persistent shell of a host, opened when first used, and again after it has ended.

The way of a command: `Conversation.run` makes its deadline and its record, takes the locks, makes sure of a shell, and
hands the command to `Shell.run`. What comes back, or goes wrong, becomes an `Outcome` here, and a result in `runner`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Union

from .._channel.base import KILL_STATUS, SIZE
from ..arguments import check_commands
from ..deadline import Deadline, DeadlineExpired, Timeout, timeout_seconds
from ..errors import ConfigError, ConnectionLost, ExpectTimeout, OttoError, SessionBusy, SessionClosed
from ..limits import GIVE_UP_TIME, KILL_TIME, REASON_TIME, RETURN_TIME, SHOWN_OPENING, WRITE_POLL
from ..locks import OwnedLock
from ..result import CommandResult, ExpectMatch, Expects, RunResult, ShellCommand, Status, shorten
from .capture import Capture, Sink
from .matcher import Matcher, Responder
from .oneshot import Outcome
from .patterns import CompiledPatterns, compile_exact, compile_patterns
from .runner import CommandRecord, Runner
from .shell import CannotRedirect, Shell, ShellEnded, encode_typed

CommandList = Sequence[Union[str, ShellCommand]]


CANNOT_REDIRECT = (
    "the outcome is unknown: after the command the shell could not redirect output any more, and was ended; "
    "was its number of open files limited too much (ulimit -n)? Limit that of a program: (ulimit -n 4; program)"
)


class Conversation:
    """Owns one shell, and decides who talks to it. Any thread may call."""

    def __init__(self, runner: Runner, name: str) -> None:
        self.name = name
        self.host_id = runner.backend.id
        self._runner = runner
        self._backend = runner.backend
        self._label = f"{runner.backend.id}: session {name!r}"
        # Held by the thread that reads: one `run` or `expect` at a time.
        self._lock = OwnedLock(self._label)
        # Held by the thread that types, so that a `send` gets through while another thread's `expect` reads.
        self._input_lock = OwnedLock(self._label)
        self._matcher = Matcher(newlines=True)
        self._shell: Shell | None = None
        self._had_shell = False
        self._size = SIZE
        self._end: ShellEnded | None = None
        """How the shell ended while its user talked to it. Nothing is typed into another one until the user opens it:
        what was meant for a program would be run as a command."""
        self._marker_env: dict[str, str] = {}
        """What a guard's reservation gave the present shell: under another one, it is replaced."""

    @property
    def alive(self) -> bool:
        """Whether its shell is open, as far as anybody noticed."""
        return self._shell is not None

    def reopen(self) -> None:
        """Let a new shell be opened where the last one has ended."""
        self._end = None

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal of the present shell, and of later ones, this size."""
        for number in (columns, rows):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
                raise ConfigError(f"{self._label}: size {columns!r} x {rows!r}: pass columns and rows, from 1 to 65535")
        self._size = columns, rows
        shell = self._shell
        if shell is not None:
            shell.resize(columns, rows)

    def run(
        self, cmd: str | CommandList, expects: Expects, timeout: Timeout, on_output: Sink | None, *, log: bool
    ) -> CommandResult | RunResult:
        """Run one command, or a list in order; see `SessionVerbs.run`."""
        check_commands("run", cmd)
        with self._runner.call(self._runner.deadline(timeout)) as deadline:
            if isinstance(cmd, str):
                return self._run_one(ShellCommand(cmd, expects), deadline, on_output, log)
            return self._run_all(cmd, expects, deadline, on_output, log)

    def _run_all(
        self, cmds: CommandList, expects: Expects, deadline: Deadline, on_output: Sink | None, log: bool
    ) -> RunResult:
        items = [ShellCommand(item, expects) if isinstance(item, str) else item for item in cmds]
        if not all(isinstance(item, ShellCommand) for item in items):
            raise ConfigError(f"run: {cmds!r}: pass a string, or a list of strings and ShellCommands")
        results: list[CommandResult] = []
        for item in items:
            if deadline.expired:
                message = f"skipped: {deadline.cancelled or 'the time of the list was spent'}"
                skipped = CommandResult(item.cmd, status=Status.SKIPPED, message=message, host=self._backend.id)
                results.append(skipped)
                continue
            seconds = timeout_seconds(item.timeout)
            limit = deadline if seconds is None else deadline.at_most(seconds)
            try:
                results.append(self._run_one(item, limit, on_output, log))
            except OttoError as error:
                # Raised for the first, it says that the list could not be begun. Later, results would be lost.
                if not results:
                    raise
                results.append(CommandResult(item.cmd, message=str(error), host=self._backend.id))
        return RunResult(results)

    def _run_one(self, item: ShellCommand, deadline: Deadline, on_output: Sink | None, log: bool) -> CommandResult:
        self._backend.require_sessions()
        responder = Responder(item.expects)
        record = CommandRecord(self._backend, item.cmd, on_output, log)
        action = f"run({shorten(item.cmd, 60)!r})"
        try:
            with self._lock.hold(action, deadline), self._input_lock.hold(action, deadline):
                outcome = self._run_locked(item.cmd, responder, deadline, record.capture)
        except SessionBusy:
            if not deadline.cancelled:
                raise
            outcome = Outcome.out_of_time(deadline, "before the command was started")
        return record.finish(outcome)

    def _run_locked(self, command: str, responder: Responder, deadline: Deadline, capture: Capture) -> Outcome:
        """Run one command, and say how it ended. Raises when it could not be started."""
        asked_at = monotonic()
        try:
            shell, is_new = self._ready_shell(deadline)
            shell.await_prompt(deadline)
            # Not even typed: a Ctrl-C right after it could cost the shell.
            deadline.check()
        except (DeadlineExpired, ShellEnded) as error:
            return self._explain_no_start(error, deadline)
        started_at = monotonic()
        try:
            return Outcome(shell.run(command, deadline, capture, responder), new_session=is_new)
        except DeadlineExpired:
            outcome = Outcome.out_of_time(deadline, _describe_time(asked_at, started_at))
            outcome.new_session = is_new
            unanswered = responder.explain_wait()
            if unanswered:
                outcome.message += f"; {unanswered}"
            recovered = shell.recover()
            if shell.left:
                outcome.message += f"; {shell.left}"
            if not recovered:
                closed = shell.process.ended_by_us
                self._drop(shell, outcome, GIVE_UP_TIME)
                grace = Deadline.grace(GIVE_UP_TIME)
                reason = "" if closed else self._backend.loss_reason_or_error(started_at, grace)
                outcome.message += f"; the shell could not be kept{': ' if reason else ''}{reason}"
            return outcome
        except ShellEnded as ended:
            outcome = Outcome(ended.status if ended.started else None, new_session=is_new)
            self._explain_end(shell, outcome, started_at)
            if not ended.started:
                outcome.message += "; the command had not begun"
            return outcome
        except CannotRedirect:
            outcome = Outcome(None, CANNOT_REDIRECT, new_session=is_new)
            self._drop(shell, outcome)
            return outcome
        except ConnectionLost as error:
            outcome = Outcome(None, f"the outcome is unknown: {error}", new_session=is_new)
            self._drop(shell, outcome)
            return outcome
        except BaseException:
            # KeyboardInterrupt, or an error of a callback: the next call recovers the rest.
            if shell.unfinished:
                shell.interrupt()
            raise

    def _ready_shell(self, deadline: Deadline) -> tuple[Shell, bool]:
        """Return a shell that waits for a line, and whether it is a later one than the first."""
        self._end = None
        shell = self._shell
        # An interrupted close() may have ended the lease and left the shell.
        if shell and (shell.process.ended_by_us or shell.poll_ended() or (shell.unfinished and not shell.recover())):
            self._backend.log.event(f"session {self.name!r}: its shell has ended")
            self._drop(shell)
            shell = None
        marker_env = self._backend.guard.marker_env()
        if shell and marker_env and marker_env != self._marker_env:
            self._backend.log.event(f"session {self.name!r}: its shell is from before the reservation, and ends")
            self._drop(shell)
            shell = None
        if shell:
            return shell, False
        self._marker_env = marker_env
        is_new, self._had_shell = self._had_shell, True
        self._matcher.take()
        self._shell = shell = self._backend.retry_once_recovered(
            lambda: Shell.open(self._backend, self._runner.wardens, self._matcher, deadline, self._size), deadline
        )
        if is_new:
            self._backend.log.event(f"session {self.name!r}: a new shell; the state of the one before is gone")
        return shell, is_new

    def _drop(self, shell: Shell, outcome: Outcome | None = None, seconds: float = KILL_TIME) -> None:
        shell.process.end(Deadline.grace(seconds))
        if self._shell is shell:
            self._shell = None
        if outcome:
            outcome.session_ended = True

    def _explain_no_start(self, error: DeadlineExpired | ShellEnded, deadline: Deadline) -> Outcome:
        shell = self._shell
        if isinstance(error, ShellEnded):
            if shell:
                self._drop(shell)
            return Outcome(None, "the shell ended before the command could start", session_ended=True)
        why = f": {error}" if str(error) else ""
        if shell is None and not why:
            why = ": the shell did not get ready in time"
        elif shell is not None and shell.awaiting_prompt:
            why = ": what send() started still runs"
        return Outcome.out_of_time(deadline, f"before the command was started{why}")

    def _explain_end(self, shell: Shell, outcome: Outcome, started_at: float) -> None:
        """Distinguish a shell that left by itself from one that was closed, or lost with its container."""
        grace = Deadline.grace(REASON_TIME)
        closed = shell.process.ended_by_us
        self._drop(shell, outcome)
        if closed:
            outcome.retcode, outcome.message = None, "the session was closed while the command ran"
        elif outcome.retcode is None or not shell.process.check_lease():
            reason = self._backend.loss_reason_or_error(started_at, grace)
            if reason or outcome.retcode in (None, KILL_STATUS):
                outcome.retcode, outcome.message = None, f"the outcome is unknown: {reason or 'the shell was lost'}"

    # Typing and expecting

    def send(self, text: str) -> None:
        """Type `text`; see `SessionVerbs.send`."""
        data = encode_typed(text)
        action = f"send({shorten(text, 60)!r})"
        with self._runner.use(self._runner.deadline(None)) as deadline:
            try:
                self._require_not_ended(action)
                if self._shell is None:
                    with self._lock.hold(action, deadline):
                        self._ready_shell(deadline)
                with self._input_lock.hold(action, deadline), self._map_shell_end(action):
                    self._type(data, action, deadline)
            except DeadlineExpired:
                raise SessionBusy(
                    f"{self._label}: {action}: the remote terminal accepted no more input before the timeout"
                ) from None

    def _type(self, data: bytes, action: str, deadline: Deadline) -> None:
        while data:
            shell = self._shell
            if shell is None:
                raise ShellEnded(None)
            if deadline.cancelled:
                raise DeadlineExpired
            taken = shell.send_some(data)
            data = data[taken:]
            if taken:
                continue
            deadline.check()
            # A program that prints while we type stops reading when nobody takes its output. Unless another thread
            # reads, that is up to us, or neither side could go on.
            try:
                if self._lock.try_acquire(action):
                    shell.pump(deadline.at_most(WRITE_POLL))
                else:
                    shell.pause()
            except DeadlineExpired:
                pass
            finally:
                self._lock.release()

    def _require_not_ended(self, action: str) -> None:
        if self._end is not None:
            raise SessionClosed(
                f"{self._label}: {action}: the shell has ended (status {self._end.status}); "
                f"run() or open_session({self.name!r}) opens a new one",
                retcode=self._end.status,
            )

    @contextmanager
    def _map_shell_end(self, action: str) -> Iterator[None]:
        """Turn the end of the shell into `SessionClosed`, for verbs that return no result."""
        shell = self._shell
        try:
            yield
        except (ShellEnded, ConnectionLost) as error:
            shell = self._shell or shell
            if shell is not None:
                self._drop(shell)
            if isinstance(error, ConnectionLost):
                raise
            self._end = error
            text = self._matcher.take()
            raise SessionClosed(
                f"{self._label}: the shell ended (status {error.status}) during {action}; "
                f"its last output: {text[-200:]!r}",
                text,
                error.status,
            ) from None

    def expect(self, pattern: Any, timeout: Timeout) -> ExpectMatch:
        """Wait for a pattern; see `SessionVerbs.expect`."""
        return self._expect(compile_patterns(pattern), "expect", timeout)

    def expect_exact(self, pattern: Any, timeout: Timeout) -> ExpectMatch:
        """Wait for a text; see `SessionVerbs.expect_exact`."""
        return self._expect(compile_exact(pattern), "expect_exact", timeout)

    def _expect(self, patterns: CompiledPatterns, verb: str, timeout: Timeout) -> ExpectMatch:
        action = f"{verb}({patterns})"
        with (
            self._runner.use(Deadline.after(timeout)) as deadline,
            self._lock.hold(action, deadline),
            self._map_shell_end(action),
        ):
            match = self._matcher.search(patterns)
            if match is None and self._end is not None:
                match = self._matcher.at_end(patterns)
                if match is None:
                    self._require_not_ended(action)
            try:
                while match is None:
                    shell = self._shell or self._ready_shell(deadline)[0]
                    match = self._pump_and_search(shell, patterns, deadline)
            except DeadlineExpired:
                match = self._matcher.at_timeout(patterns)
                if match is None:
                    text = self._matcher.text
                    raise ExpectTimeout(
                        f"{self._label}: {patterns} did not arrive in time{patterns.hint}; "
                        f"the last that did: {text[-200:]!r}",
                        text,
                    ) from None
            except ShellEnded as error:
                match = self._matcher.at_end(patterns)
                if match is None:
                    raise
                self._drop(shell)
                self._end = error
            return match

    def _pump_and_search(self, shell: Shell, patterns: CompiledPatterns, deadline: Deadline) -> ExpectMatch | None:
        if patterns.have_return and self._matcher.holds_return:
            try:
                shell.pump(deadline.at_most(RETURN_TIME))
                return self._matcher.search(patterns)
            except DeadlineExpired:
                if match := self._matcher.search_return(patterns):
                    return match
        shell.pump(deadline)
        return self._matcher.search(patterns)

    def read_available(self, timeout: Timeout) -> str:
        """Take what has arrived; see `SessionVerbs.read_available`."""
        action = "read_available()"
        with (
            self._runner.use(Deadline.after(timeout)) as deadline,
            self._lock.hold(action, deadline),
            self._map_shell_end(action),
        ):
            shell = self._shell
            if shell is not None:
                try:
                    if not self._matcher.text:
                        shell.pump(deadline)
                    while True:
                        shell.pump(Deadline.grace(0))
                except DeadlineExpired:
                    pass
                except ShellEnded as error:
                    if not self._matcher.text:
                        raise
                    self._drop(shell)
                    self._end = error
            elif not self._matcher.text:
                self._require_not_ended(action)
            return self._matcher.take()

    def interrupt(self) -> None:
        """Type Ctrl-C; see `HostSession.interrupt`."""
        shell = self._shell
        if shell is not None:
            shell.interrupt()

    def close(self, deadline: Deadline) -> None:
        """End the shell and everything that was started from it."""
        shell, self._shell = self._shell, None
        self._end = None
        if shell is not None:
            shell.process.end(deadline)


def _describe_time(asked_at: float, started_at: float) -> str:
    """Say after how long a call timed out, and how much of it the opening of the shell took."""
    opening = started_at - asked_at
    text = f"after {monotonic() - asked_at:.1f} s"
    return text if opening < SHOWN_OPENING else f"{text}, of which {opening:.1f} s to open the shell"
