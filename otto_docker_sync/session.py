"""A named persistent shell: state lasts from call to call, prompts can be expected and answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Union, overload

from ._channel.base import KILL_STATUS, WRITE_POLL
from ._shell.capture import Capture, Sink
from ._shell.matcher import Matcher, Responder, compile_patterns
from ._shell.oneshot import Outcome
from ._shell.shell import KILL_TIME, Shell, ShellEnded, typed
from .deadline import Deadline, DeadlineExpired, Timeout
from .errors import ConnectionLost, ExpectTimeout, SessionBusy, SessionClosed
from .result import CommandResult, ExpectMatch, Expects, RunResult, ShellCommand, shorten

if TYPE_CHECKING:
    from .aio import AsyncSession
    from .host import Host

GIVE_UP_TIME = 1.5
"""Seconds for each of the last two steps, ending the shell and asking why, when a command could not be stopped."""

Commands = Sequence[Union[str, ShellCommand]]


class Turn:
    """One at a time, waited for under a deadline; knows who has it and since when."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._free = threading.Condition()
        self._holder: tuple[str, str, float] | None = None
        self._holder_thread: int | None = None

    @contextmanager
    def taken(self, doing: str, deadline: Deadline) -> Iterator[None]:
        """Raises `SessionBusy`, which names the holder, when the turn does not come in time."""
        self._take(doing, deadline)
        try:
            yield
        finally:
            self.release()

    def _take(self, doing: str, deadline: Deadline) -> None:
        if self._holder_thread == threading.get_ident():
            raise SessionBusy(
                f"{self._what}: this thread is inside {self._described()} already; use another session: open_session()"
            )
        with deadline.waking(self._wake), self._free:
            while self._holder is not None:
                if deadline.expired:
                    raise SessionBusy(
                        f"{self._what} is busy: {self._described()}; "
                        "wait longer (timeout=), or use a session of your own: open_session()"
                    )
                self._free.wait(deadline.remaining())
            self._holder = threading.current_thread().name, doing, monotonic()
            self._holder_thread = threading.get_ident()

    def try_take(self, doing: str) -> bool:
        """Take the turn if it is free now; given back by `release`."""
        try:
            self._take(doing, Deadline.grace(0))
        except SessionBusy:
            return False
        return True

    def release(self) -> None:
        with self._free:
            self._holder = self._holder_thread = None
            self._free.notify()

    def _described(self) -> str:
        thread, doing, since = self._holder or ("", "another call", monotonic())
        return f"{doing} of thread {thread!r}, for {monotonic() - since:.1f} s now"

    def _wake(self) -> None:
        with self._free:
            self._free.notify_all()


class HostSession:
    """A shell of its own on a host, opened when first used, and again after it has ended.

    It owns that shell. Any thread may call: `run` and `expect` take turns; `send` gets through while an `expect`
    waits. Made by ``host.open_session(name)``.

    >>> with host.open_session("build") as build:
    ...     build.run("cd /src")
    ...     build.run("make", timeout=600).check()
    """

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self._label = f"{host.id}: session {name!r}"
        self._turn = Turn(self._label)
        self._input_turn = Turn(self._label)
        self._matcher = Matcher(newlines=True)
        self._shell: Shell | None = None
        self._had_shell = False

    def __repr__(self) -> str:
        return f"<HostSession {self.name!r} of {self.host.id} {'alive' if self.alive else 'not open'}>"

    def __enter__(self) -> HostSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether its shell is open, as far as anybody noticed. Asks nobody."""
        return self._shell is not None

    @property
    def aio(self) -> AsyncSession:
        """The same verbs for ``async`` callers.

        >>> await session.aio.run("make")
        """
        from .aio import AsyncSession

        return AsyncSession(self)

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
        """Run a command, or a list of commands, on this session's shell. See `Host.run`.

        >>> session.run("cd /tmp"); session.run("pwd").output
        '/tmp\\n'
        """
        return self.host._run_on(self, cmd, expects, timeout, check, on_output, log)

    def _run(self, command: str | bytes, responder: Responder, deadline: Deadline, capture: Capture) -> Outcome:
        """Run one command, and say how it ended. Raises when it could not be started."""
        doing = f"run({shorten(command if isinstance(command, str) else repr(command), 60)!r})"
        try:
            with self._turn.taken(doing, deadline), self._input_turn.taken(doing, deadline):
                return self._run_in_turn(command, responder, deadline, capture)
        except SessionBusy:
            if not deadline.cancelled:
                raise
            return Outcome.out_of_time(deadline, "before the command was started")

    def _run_in_turn(self, command: str | bytes, responder: Responder, deadline: Deadline, capture: Capture) -> Outcome:
        try:
            shell, is_new = self._ready(deadline)
            shell.await_prompt(deadline)
        except (DeadlineExpired, ShellEnded) as error:
            return self._not_started(error, deadline)
        started_at = monotonic()
        try:
            return Outcome(shell.run(command, deadline, capture, responder), new_session=is_new)
        except DeadlineExpired:
            outcome = Outcome.out_of_time(deadline, f"after {monotonic() - started_at:.1f} s")
            outcome.new_session = is_new
            if not shell.recover():
                closed = shell.ended_by_us
                self._drop(shell, outcome, GIVE_UP_TIME)
                grace = Deadline.grace(GIVE_UP_TIME)
                reason = "" if closed else self.host._obituary(started_at, grace)
                outcome.message += f"; the shell could not be kept{': ' if reason else ''}{reason}"
            return outcome
        except ShellEnded as ended:
            outcome = Outcome(ended.status if ended.started else None, new_session=is_new)
            self._explain_end(shell, outcome, started_at)
            if not ended.started:
                outcome.message += "; the command had not begun"
            return outcome
        except ConnectionLost as error:
            outcome = Outcome(None, f"the outcome is unknown: {error}", new_session=is_new)
            self._drop(shell, outcome)
            return outcome
        except BaseException:
            shell.interrupt()  # the next call recovers the rest
            raise

    def _ready(self, deadline: Deadline) -> tuple[Shell, bool]:
        """A shell that waits for a line, and whether it is a later one than the first."""
        shell = self._shell
        if shell and (shell.gone or (shell.unfinished and not shell.recover())):
            self.host._log.event(f"session {self.name!r}: its shell has ended")
            self._drop(shell)
            shell = None
        if shell:
            return shell, False
        is_new, self._had_shell = self._had_shell, True
        self._matcher.take()
        self._shell = shell = self.host._start(lambda: Shell.open(self.host, self._matcher, deadline), deadline)
        if is_new:
            self.host._log.event(f"session {self.name!r}: a new shell; the state of the one before is gone")
        return shell, is_new

    def _drop(self, shell: Shell, outcome: Outcome | None = None, seconds: float = KILL_TIME) -> None:
        shell.end(Deadline.grace(seconds))
        if self._shell is shell:
            self._shell = None
        if outcome:
            outcome.session_ended = True

    def _not_started(self, error: DeadlineExpired | ShellEnded, deadline: Deadline) -> Outcome:
        shell = self._shell
        if isinstance(error, ShellEnded):
            if shell:
                self._drop(shell)
            return Outcome(None, "the shell ended before the command could start", session_ended=True)
        busy = shell is not None and shell.talking
        why = "what send() started still runs" if busy else "the shell did not get ready in time"
        return Outcome.out_of_time(deadline, f"before the command was started: {why}")

    def _explain_end(self, shell: Shell, outcome: Outcome, started_at: float) -> None:
        """Tell a shell that left by itself from one that was closed, or lost with its container."""
        grace = Deadline.grace(10)
        closed = shell.ended_by_us
        self._drop(shell, outcome)
        if closed:
            outcome.retcode, outcome.message = None, "the session was closed while the command ran"
        elif outcome.retcode is None or not shell.leased:
            reason = self.host._obituary(started_at, grace)
            if reason or outcome.retcode in (None, KILL_STATUS):
                outcome.retcode, outcome.message = None, f"the outcome is unknown: {reason or 'the shell was lost'}"

    def send(self, text: str) -> None:
        """Type `text`, and nothing more.

        Raises `ConfigError` for a line of 4,095 bytes or more, which a terminal would cut.

        >>> session.send("y"); session.expect("sure")
        """
        data = typed(text)
        deadline = Deadline.after(self.host.default_timeout)
        doing = f"send({shorten(text, 60)!r})"
        try:
            if self._shell is None:
                with self._turn.taken(doing, deadline):
                    self._ready(deadline)
            with self._input_turn.taken(doing, deadline), self._noticing_the_end(doing):
                self._type(data, doing, deadline)
        except DeadlineExpired:
            raise SessionBusy(f"{self._label}: {doing}: the far end took no more text in time") from None

    def _type(self, data: bytes, doing: str, deadline: Deadline) -> None:
        while data:
            shell = self._shell
            if shell is None:
                raise ShellEnded(None)
            taken = shell.talk(data)
            data = data[taken:]
            if taken:
                continue
            deadline.check()
            # Unless another thread reads, we take in what arrives, or neither side could go on.
            if self._turn.try_take(doing):
                try:
                    shell.listen(deadline.at_most(WRITE_POLL))
                except DeadlineExpired:
                    pass
                finally:
                    self._turn.release()
            else:
                shell.pause()

    @contextmanager
    def _noticing_the_end(self, doing: str) -> Iterator[None]:
        """For verbs without a result: the end of the shell is an error, and the next call opens another."""
        shell = self._shell
        try:
            yield
        except (ShellEnded, ConnectionLost) as error:
            shell = self._shell or shell
            if shell is not None:
                self._drop(shell)
            if isinstance(error, ConnectionLost):
                raise
            text = self._matcher.take()
            raise SessionClosed(
                f"{self._label}: the shell ended (status {error.status}) during {doing}; "
                f"its last output: {text[-200:]!r}",
                text,
                error.status,
            ) from None

    def sendline(self, text: str = "") -> None:
        """Type `text` and a line end.

        >>> session.sendline("python3"); session.expect(">>> ")
        """
        self.send(text + "\n")

    def expect(self, pattern: Any, timeout: Timeout = 10.0) -> ExpectMatch:
        """Wait for a pattern, and return all data up to and including the match; what follows stays.

        `pattern`: a regex (text, compiled with ``re.DOTALL``), a compiled one, ``pexpect.EOF``, ``pexpect.TIMEOUT``,
        or a list of these: the earliest match in the stream wins, ties go to the order of the list. Line ends are
        ``\\n``. `timeout` in seconds.

        Raises `ExpectTimeout` (what arrived is in ``before``, and stays), `SessionClosed` when the shell ends,
        `SessionBusy` when another thread uses the session, `ConfigError` for a pattern that is none.

        >>> session.sendline("passwd"); session.expect(["New password: ", "denied"]).index
        0
        """
        patterns = compile_patterns(pattern)
        deadline = Deadline.after(timeout)
        doing = f"expect({patterns})"
        with self._turn.taken(doing, deadline), self._noticing_the_end(doing):
            match = self._matcher.search(patterns)
            try:
                while match is None:
                    shell = self._shell or self._ready(deadline)[0]
                    shell.listen(deadline)
                    match = self._matcher.search(patterns)
            except DeadlineExpired:
                match = self._matcher.at_timeout(patterns)
                if match is None:
                    text = self._matcher.text
                    raise ExpectTimeout(
                        f"{self._label}: {patterns} did not arrive in time; the last that did: {text[-200:]!r}", text
                    ) from None
            except ShellEnded:
                match = self._matcher.at_end(patterns)
                if match is None:
                    raise
                self._drop(shell)
            return match

    def interrupt(self) -> None:
        """Type Ctrl-C, from any thread: a command in flight gets it, and ends as it likes.

        >>> threading.Timer(5, session.interrupt).start(); session.run("make test").retcode
        130
        """
        shell = self._shell
        if shell is not None:
            shell.interrupt()

    def close(self) -> None:
        """End the shell and everything that was started from it.

        From any thread, in seconds also on a dead link; a command in flight ends with a result that says so. Twice is
        once; use after close opens a new shell.
        """
        self._close(Deadline.grace(KILL_TIME))

    def _close(self, deadline: Deadline) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            shell.end(deadline)
