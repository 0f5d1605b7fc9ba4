"""What every host can do. The public verbs are written once, here; a kind of host supplies a few primitives."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ._channel.base import KILL_STATUS, SIZE, Channel
from ._channel.markers import new_nonce
from ._shell.capture import Capture, Sink
from ._shell.matcher import Responder
from ._shell.oneshot import Outcome, command_text, run_oneshot
from ._shell.scripts import stty_size
from ._shell.warden import Warden, Wardens
from .deadline import Cancellation, Deadline, DeadlineExpired, Timeout, timeout_seconds
from .errors import ConfigError, ConnectError, OttoError, UnsupportedParentError
from .logs import HostLog
from .result import (
    Command,
    CommandResult,
    ExpectMatch,
    Expects,
    FileProgress,
    RunResult,
    ShellCommand,
    Status,
    TransferResult,
)
from .session import Commands, HostSession

if TYPE_CHECKING:
    from typing_extensions import Self

    from .aio import AsyncHost
    from .repeat import Repeats

T = TypeVar("T")

CLOSE_TIME = 3.0
"""Seconds that calls in flight get to clean up when their host is closed."""

DYING_TIME = 2.0
"""Seconds after which a host whose process was killed is believed to live on: docker learns of a death later than we
do."""
KILLED_TIME = 0.5
"""The same, where it is more likely that the process alone was killed."""

DEFAULT_SESSION = "default"


class Host(ABC):
    """A machine, or a container, to run commands on.

    It owns its sessions and repeats; everything is opened when first used, and again after `close`. Any thread may
    call any verb.
    """

    is_virtual: bool = False
    """Whether it is a container on another host."""

    id: str
    name: str
    shell: str
    log: bool
    log_stdout: bool
    resources: set[str]
    default_timeout: Timeout

    def _init(self) -> None:
        """Set up what all kinds have. Called by a kind's constructor when its fields are set."""
        timeout_seconds(self.default_timeout)
        if not self.shell or "\0" in self.shell:
            raise ConfigError(f"{self.id}: shell={self.shell!r}: give the name or path of a POSIX shell, such as 'sh'")
        self.resources = set(self.resources)
        self._log = HostLog(self.id, self.log, self.log_stdout)
        self._sessions: dict[str, HostSession] = {}
        self._state = threading.Condition()
        self._calls: dict[Cancellation, int] = {}
        self._repeats_made: Repeats | None = None
        self._wardens = Wardens(self._start_warden)

    # What a kind supplies

    @abstractmethod
    def _open_channel(
        self,
        argv: Sequence[str],
        *,
        tags: Mapping[str, str] | None = None,
        tty: bool = False,
        deadline: Deadline,
        term: str = "dumb",
        size: tuple[int, int] = SIZE,
    ) -> Channel:
        """Start a program on this host.

        `tags` is harmless environment. No part of `argv` is ever interpreted by a shell. Returns when the channel is
        open, which is no proof that the program runs. Raises `ConnectError` and its kin.
        """

    def _open_shell(
        self,
        args: Sequence[str],
        *,
        tags: Mapping[str, str],
        tty: bool = False,
        deadline: Deadline,
        size: tuple[int, int] = SIZE,
    ) -> Channel:
        return self._open_channel([self.shell, *args], tags=tags, tty=tty, deadline=deadline, size=size)

    def _sessions_refused(self) -> str:
        """Why this host has no sessions; empty when it has."""
        return ""

    def _environment(self) -> dict[str, str]:
        return {}

    def _login_argv(self) -> list[str]:
        """What a person gets on a terminal."""
        return [self.shell]

    def _explain(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        text = (out + b"\n" + err).decode("utf-8", "replace").strip()[-2000:]
        return ConnectError(
            f"{self.id}: the shell {self.shell!r} did not start (status {status}): {text or 'it said nothing'}"
        )

    def _obituary(self, started_at: float, deadline: Deadline) -> str:
        try:
            return self._died(started_at, DYING_TIME, deadline)
        except (OttoError, DeadlineExpired) as error:
            return str(error)

    def _died(self, started_at: float, patience: float, deadline: Deadline) -> str:
        """What has become of the host since that moment, if it did not live on; looked for so many seconds.

        Raises what keeps it from being told.
        """
        return ""

    def _revive(self, error: OttoError, deadline: Deadline) -> bool:
        """Whether starting again is worth it after `error`; does what is needed for that. Nothing has run yet."""
        return False

    def _located(self) -> bool:
        """Whether `_open_channel` knows where to go, and would not look for a place, nor bring one up."""
        return True

    @abstractmethod
    def _close_link(self) -> None:
        """Let go of the connections that this host owns."""

    # Commands

    def oneshot(
        self,
        cmd: Command,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> CommandResult:
        """Run a command in a fresh process that shares no state with others; safe from many threads at once.

        A text is run by the host's shell; a list is run as argv, without a shell. stdin is empty. The command's
        output goes to `on_output` as it comes, if given; the result then holds its end (1 MiB) only. What a command
        leaves in the background stays when the command ends, and is ended with it when it is cut off.

        `timeout` in seconds; None waits as long as the command runs, unless the host has a ``default_timeout``. A
        command that is out of time is ended, with all that it started, and the result says so. With `check`, a result
        that is not ok is raised as `CommandFailed`. Raises what kept the command from being started: `ConnectError`,
        `ContainerNotRunning`, `ShellNotFound`, `ConfigError` and their kin.

        >>> host.oneshot(["ls", "-l", "name with spaces"], timeout=10).stdout
        """
        text = command_text(cmd)
        deadline = self._deadline(timeout)
        record = self._log.command(text, log=log)
        capture = Capture(on_output, record.output)
        started_at = monotonic()
        with self._in_flight(deadline) as deadline:
            try:
                outcome = self._start(lambda: run_oneshot(self, cmd, deadline, capture), deadline)
            except DeadlineExpired:
                outcome = Outcome.out_of_time(deadline, "before the command was started")
        capture.finish()
        result = self._result(text, outcome, capture, started_at)
        record.end(_described(result))
        return result.check() if check else result

    @overload
    def run(  # type: ignore[overload-overlap]  # a str is a Sequence[str], too: the first one is meant for it
        self,
        cmd: str,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> CommandResult: ...
    @overload
    def run(
        self,
        cmd: Commands,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> RunResult: ...
    def run(
        self,
        cmd: str | Commands,
        expects: Expects = None,
        timeout: Timeout = None,
        *,
        check: bool = False,
        on_output: Sink | None = None,
        log: bool = True,
    ) -> CommandResult | RunResult:
        """Run a command on the host's persistent shell: ``cd``, variables, functions and options last.

        `expects` answers prompts while the command runs: pattern to answer, as a mapping or as pairs; an answer is
        sent as it is. A list of commands (texts or `ShellCommand`) is run in order under one `timeout`; one that fails
        does not stop the others, and those for which no time is left are SKIPPED.

        Otherwise as `oneshot`: after a time-out the command is gone and the shell is usable, its state kept if that is
        possible. ``session_ended`` and ``new_session`` of the result tell when it was not.

        >>> host.run("sudo -k id", expects={"password": "secret\\n"}, timeout=10).check()
        """
        return self._run_on(self.open_session(DEFAULT_SESSION), cmd, expects, timeout, check, on_output, log)

    def _run_on(
        self,
        session: HostSession,
        cmd: str | Commands,
        expects: Expects,
        timeout: Timeout,
        check: bool,
        on_output: Sink | None,
        log: bool,
    ) -> CommandResult | RunResult:
        with self._in_flight(self._deadline(timeout)) as deadline:
            result: CommandResult | RunResult
            if isinstance(cmd, str):
                result = self._run_one(session, ShellCommand(cmd, expects), deadline, on_output, log)
            else:
                result = self._run_all(session, cmd, expects, deadline, on_output, log)
        return result.check() if check else result

    def _run_all(
        self,
        session: HostSession,
        cmds: Commands,
        expects: Expects,
        deadline: Deadline,
        on_output: Sink | None,
        log: bool,
    ) -> RunResult:
        items = [ShellCommand(item, expects) if isinstance(item, str) else item for item in cmds]
        if not all(isinstance(item, ShellCommand) for item in items):
            raise ConfigError(f"run: {cmds!r}: give a text, or a list of texts and ShellCommands")
        results: list[CommandResult] = []
        for item in items:
            if deadline.expired:
                message = f"skipped: {deadline.cancelled or 'the time of the list was spent'}"
                results.append(CommandResult(item.cmd, status=Status.SKIPPED, message=message, host=self.id))
                continue
            seconds = timeout_seconds(item.timeout)
            limit = deadline if seconds is None else deadline.at_most(seconds)
            try:
                results.append(self._run_one(session, item, limit, on_output, log))
            except OttoError as error:
                if not results:
                    raise
                results.append(CommandResult(item.cmd, message=str(error), host=self.id))
        return RunResult(results)

    def _run_one(
        self, session: HostSession, item: ShellCommand, deadline: Deadline, on_output: Sink | None, log: bool
    ) -> CommandResult:
        self._require_sessions()
        responder = Responder(item.expects)
        record = self._log.command(item.cmd, log=log)
        capture = Capture(on_output, record.output)
        started_at = monotonic()
        outcome = session._run(item.cmd, responder, deadline, capture)
        capture.finish()
        result = self._result(item.cmd, outcome, capture, started_at)
        record.end(_described(result))
        return result

    def _result(self, command: str, outcome: Outcome, capture: Capture, started_at: float) -> CommandResult:
        seconds = monotonic() - started_at
        if outcome.retcode == KILL_STATUS and not outcome.message:
            # Perhaps with its host: when that dies, its processes go one by one.
            with suppress(OttoError, DeadlineExpired):
                reason = self._died(started_at, KILLED_TIME, Deadline.grace(DYING_TIME))
                if reason:
                    outcome.retcode, outcome.message = None, f"the outcome is unknown: {reason}"
        status = {None: Status.ERROR, 0: Status.SUCCESS}.get(outcome.retcode, Status.FAILED)
        message = outcome.message
        if capture.output.dropped:
            message = f"{message}; " if message else ""
            message += f"the first {capture.output.dropped} bytes of the output went to on_output only"
        data = bytes(capture.output)
        output = data.decode("utf-8", "replace")
        stdout = stderr = None
        if capture.apart:
            out, err = capture.streams
            stderr = err.text()
            stdout = out.text() if stderr else output  # much output is not held once more
        return CommandResult(
            command,
            output=output,
            output_bytes=data,
            stdout=stdout,
            stderr=stderr,
            status=status,
            retcode=outcome.retcode,
            timed_out=outcome.timed_out,
            session_ended=outcome.session_ended,
            new_session=outcome.new_session,
            message=message,
            duration=seconds,
            host=self.id,
        )

    # Sessions

    def open_session(self, name: str) -> HostSession:
        """Get the persistent shell called `name`, or make one. It is opened when first used.

        >>> with host.open_session("log") as log:
        ...     log.sendline("tail -f /var/log/app.log"); log.expect("ready", timeout=60)
        """
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{self.id}: open_session({name!r}): give the session a name")
        with self._state:
            if name not in self._sessions:
                self._sessions[name] = HostSession(self, name)
            return self._sessions[name]

    def send(self, text: str) -> None:
        """Type `text` on the default session, and nothing more. See `HostSession.send`."""
        self.open_session(DEFAULT_SESSION).send(text)

    def sendline(self, text: str = "") -> None:
        """Type `text` and a line end on the default session."""
        self.open_session(DEFAULT_SESSION).sendline(text)

    def expect(self, pattern: Any, timeout: Timeout = 10.0) -> ExpectMatch:
        """Wait for a pattern on the default session. See `HostSession.expect`."""
        return self.open_session(DEFAULT_SESSION).expect(pattern, timeout)

    def interact(self, *, transcript: str | os.PathLike[str] | None = None) -> int | None:
        """Give the user's terminal to a shell on this host, on a channel of its own; Ctrl-] leaves.

        Returns the shell's exit status, None when the user left before it ended. The terminal is always restored.
        `transcript` names a file to record to, as asciinema v2.

        >>> host.interact()
        """
        from ._shell.terminal import interact, local_size

        self._require_sessions()
        deadline = self._deadline(None)
        with self._terminal(os.environ.get("TERM", "xterm"), local_size(), deadline) as channel:
            return interact(channel, transcript=transcript)

    @contextmanager
    def _terminal(self, term: str, size: tuple[int, int], deadline: Deadline) -> Iterator[Channel]:
        """A shell for a person; all that is started from it ends with the block."""
        from ._shell.terminal import LoginEnvironment

        warden = self._wardens.present(deadline)
        session = new_nonce()
        tags = {"TERM": term, "OTTO_HOST": warden.tag, "OTTO_SESSION": session}
        environment = LoginEnvironment(self.shell, self._environment())
        script = f'{warden.proof}; {stty_size(*size)}; exec "$@"'
        argv = [self.shell, "-c", script, self.shell, *(environment.argv or self._login_argv())]
        channel = self._open_channel(argv, tags=tags, tty=True, deadline=deadline, term=term, size=size)
        try:
            environment.hand_over(channel, deadline)
            yield channel
        finally:
            grace = Deadline.grace(CLOSE_TIME)
            self._wardens.ask(warden, lambda each: each.end_shell(f"OTTO_SESSION={session}", None, grace), grace)
            channel.close()

    def _require_sessions(self) -> None:
        reason = self._sessions_refused()
        if reason:
            raise UnsupportedParentError(f"{self.id}: {reason}; oneshot() works here, and so do put() and get()")

    def _start_warden(self, deadline: Deadline, revive: bool) -> Warden:
        self._require_sessions()
        if not revive and not self._located():
            raise ConnectError(f"{self.id}: nothing is started only to end what is gone")
        return self._start(lambda: Warden.open(self, deadline), deadline, revive=revive)

    # Files

    def put(
        self,
        src_files: Any,
        dest_dir: str | os.PathLike[str],
        *,
        mode: int | None = None,
        times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        """Copy local files and directories into a directory of this host.

        `src_files` is one path or many; `mode` is set on files, instead of their own; with `times`, their times of
        modification are kept. `progress` is called with a `FileProgress` now and then. The result tells for each
        source what became of it: success means that a process on the host sees exactly these bytes, failure leaves
        what was there before.

        Raises when nothing can be tried: a source that is not there, a host that cannot be reached.

        >>> host.put(["app.conf", "data"], "/etc/app").check()
        """
        from ._transfer import transfer

        with self._in_flight(self._deadline(None)) as deadline:
            return transfer.put(self, src_files, dest_dir, mode=mode, times=times, progress=progress, deadline=deadline)

    def get(
        self,
        src_files: Any,
        dest_dir: str | os.PathLike[str],
        *,
        times: bool = False,
        progress: Callable[[FileProgress], object] | None = None,
    ) -> TransferResult:
        """Copy files and directories of this host into a local directory; the mirror of `put`.

        A local file is replaced only when the new one is complete.

        >>> host.get("/var/log/app.log", "logs").check()
        """
        from ._transfer import transfer

        with self._in_flight(self._deadline(None)) as deadline:
            return transfer.get(self, src_files, dest_dir, times=times, progress=progress, deadline=deadline)

    # Repeats

    def start_repeat(
        self,
        name: str,
        cmds: str | Commands,
        interval: float,
        *,
        times: int | None = None,
        duration: float | None = None,
        until: Callable[[Any], object] | None = None,
        on_result: Callable[[Any], object] | None = None,
        max_history: int = 1000,
    ) -> None:
        """Run commands every `interval` seconds on a thread of their own, until stopped.

        It ends by itself after so many `times`, after `duration` seconds, or when ``until(result)`` is true. A run
        that takes longer than the interval makes the next tick wait; a failure is recorded, and does not end it. Each
        result goes to `on_result`, and the last `max_history` are kept.

        >>> host.start_repeat("load", "cat /proc/loadavg", 5.0)
        """
        self._repeats.start(
            name,
            cmds,
            interval,
            times=times,
            duration=duration,
            until=until,
            on_result=on_result,
            max_history=max_history,
        )

    def stop_repeat(self, name: str) -> None:
        """Stop a repeat, and wait for it to end; its results stay."""
        self._repeats.stop(name)

    def stop_all_repeats(self) -> None:
        """Stop every repeat of this host."""
        self._repeats.stop_all()

    def repeat_results(self, name: str) -> list[Any]:
        """What a repeat has returned so far, oldest first: a CommandResult, or RunResult, a tick."""
        return self._repeats.results(name)

    @property
    def _repeats(self) -> Repeats:
        from .repeat import Repeats

        with self._state:
            if self._repeats_made is None:
                self._repeats_made = Repeats(self)
            return self._repeats_made

    # Life

    def is_running(self) -> bool:
        """Whether commands can be run on this host now. Starts nothing.

        >>> host.is_running()
        True
        """
        try:
            return self.oneshot(":", timeout=10, log=False).ok
        except OttoError:
            return False

    def rebuild_connections(self) -> None:
        """Drop sessions and all that may be stale; the next call opens anew. Connects nothing itself."""
        self._end_calls("the connections were rebuilt")
        self._close_link()

    def close(self) -> None:
        """Stop repeats, end sessions and what is in flight, and let go of the connections this host owns.

        From any thread; twice is once; use after close opens anew.
        """
        if self._repeats_made is not None:
            self._repeats_made.stop_all()
        self._end_calls("the host was closed")
        self._close_link()

    def _end_calls(self, reason: str) -> None:
        """End what is in flight, and all sessions."""
        with self._state:
            calls = dict(self._calls)
        for call in calls:
            call.reason = reason
            call.cancel()
        self._drop_sessions()
        # A call of this thread is around us: we are in its sink.
        others = {call for call, thread in calls.items() if thread != threading.get_ident()}
        with self._state:
            self._state.wait_for(lambda: others.isdisjoint(self._calls), CLOSE_TIME)

    def _drop_sessions(self) -> None:
        with self._state:
            sessions = list(self._sessions.values())
        deadline = Deadline.grace(CLOSE_TIME)
        self._wardens.close(deadline)
        for session in sessions:
            session._close(deadline)
        self._wardens.close(deadline)  # one that was brought up to end what a killed one had left

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def aio(self) -> AsyncHost:
        """The same verbs for ``async`` callers.

        >>> await host.aio.run("make")
        """
        from .aio import AsyncHost

        return AsyncHost(self)

    # Shared by the verbs

    def _deadline(self, timeout: Timeout) -> Deadline:
        return Deadline.after(self.default_timeout if timeout is None else timeout)

    @contextmanager
    def _in_flight(self, deadline: Deadline) -> Iterator[Deadline]:
        """Let `close` end the call that runs inside the block."""
        call = Cancellation()
        with self._state:
            self._calls[call] = threading.get_ident()
        try:
            yield deadline.also(call)
        finally:
            with self._state:
                del self._calls[call]
                self._state.notify_all()

    def _start(self, attempt: Callable[[], T], deadline: Deadline, *, revive: bool = True) -> T:
        """Make an attempt to start something, and one more if the host can be brought to take it."""
        try:
            return attempt()
        except OttoError as error:
            if not revive or not self._revive(error, deadline):
                raise
            return attempt()


def _described(result: CommandResult) -> str:
    outcome = result.message or f"exit status {result.retcode}"
    return f"{outcome}, {result.duration:.2f} s"
