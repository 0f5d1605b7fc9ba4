"""A command in the background: a oneshot that a thread of its own reads, and its handle."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Union

from ._channel.base import KILL_STATUS
from ._shell import (
    CommandRecord,
    Input,
    LineReader,
    Outcome,
    ProcessInput,
    ProcessOutput,
    Runner,
    command_text,
    compile_patterns,
    run_oneshot,
)
from .deadline import Cancellation, Deadline, DeadlineExpired, Timeout
from .errors import ConfigError, ConnectError, ExpectTimeout, SessionClosed, WaitTimedOut
from .limits import SIGNAL_EVERY, STOP_GRACE
from .locks import Signal, start_thread
from .logs import masked
from .result import Command, CommandResult, ExpectMatch, Patterns, shorten

if TYPE_CHECKING:
    from typing_extensions import Self

    from .aio import AsyncProcess

Stream = Union[Literal["stdout", "stderr"], None]
"""Which lines: those of one stream, or of both."""

SIGNAL = re.compile(r"(?:SIG)?([A-Z][A-Z0-9]*)")


class Process:
    """A command that runs in the background, until it ends, is stopped, or its host is closed. Made by `Host.start`.

    It owns a thread, which reads what the command writes. Any thread may use it. As a context manager it stops the
    command at the end of the block.

    Up to 1 MiB of output is taken that nobody reads. Then the command waits, as at the end of a full pipe, until
    `lines`, `wait_for`, `wait` or `stop` is called. So send the output of a talkative server to a file.

    >>> with web.start("tcpdump -l -i eth0 port 80") as capture:
    ...     capture.wait_for("listening on", timeout=10)
    ...     web.oneshot("wget -q -O /dev/null http://db/")
    >>> assert "GET /" in capture.output
    """

    def __init__(
        self,
        runner: Runner,
        cmd: Command,
        deadline: Deadline,
        *,
        input: Input | None,
        env: Mapping[str, str] | None,
        workdir: str | os.PathLike[str] | None,
        user: str | None,
    ) -> None:
        self.command = command_text(cmd)
        """The command, as text."""
        self._cmd = cmd
        self._runner = runner
        self._backend, self._environment = runner.variant(env, workdir, user)
        self._label = f"{runner.backend.id}: {shorten(self.command)!r}"
        self._record = CommandRecord(runner.backend, self.command, None, log=True, make_capture=self._make_output)
        self._life = Cancellation()
        self._killed = False
        self._stdin = ProcessInput(input)
        self._begun = Signal()
        """The command has begun, or never will."""
        self._has_begun = False
        self._result: CommandResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"otto-process {self._backend.id}", daemon=True)
        self._begin(deadline)

    def _make_output(self, log: Callable[[str], object]) -> ProcessOutput:
        self._output = ProcessOutput(log)
        return self._output

    def __repr__(self) -> str:
        state = "running" if self.running else self._result or "ended"
        return masked(f"<Process {self._label}: {state}>")

    # Its life

    def _begin(self, deadline: Deadline) -> None:
        """Start the command, and return when it has begun. Raises what kept it from that."""
        try:
            start_thread(self._thread)
            with deadline.waking(self._begun.set):
                while not deadline.expired and not self._begun.wait(deadline.wait_time()):
                    pass
            is_late = deadline.cancelled or not (self._has_begun or self._output.ended)
        except BaseException:
            self._end("interrupted")
            raise
        if is_late:
            self._end("it was not waited for")
            raise ConnectError(f"{self._label} was not started: {deadline.cancelled or 'timed out'}")
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _work(self) -> None:
        try:
            life = Deadline(None, self._life)
            with self._runner.call(life) as deadline, deadline.waking(self._output.release):
                if deadline.cancelled:
                    self._output.release()
                self._result = self._record.finish(self._run(deadline))
        except BaseException as error:  # `_begin` or `wait` raises it
            self._error = error
        finally:
            self._output.end()
            self._begun.set()

    def _run(self, deadline: Deadline) -> Outcome:
        try:
            outcome = self._backend.retry_once_recovered(
                lambda: run_oneshot(
                    self._backend,
                    self._cmd,
                    deadline,
                    self._record.capture,
                    environment=self._environment,
                    stdin=self._stdin,
                    on_start=self._note_start,
                ),
                deadline,
            )
        except DeadlineExpired:
            outcome = Outcome.out_of_time(deadline, "before the command was started")
        if self._killed and outcome.message.startswith(self._life.reason):
            # Not a loss: we know who killed it. The message also names what could not be killed.
            outcome.retcode = KILL_STATUS
        return outcome

    def _note_start(self) -> None:
        self._has_begun = True
        self._begun.set()

    def _end(self, reason: str) -> None:
        """End the command's processes, and wait until the thread has ended."""
        self._life.reason = reason
        self._life.cancel()
        if self._thread.ident is not None:  # an interrupt may have come before its start
            self._thread.join()

    @property
    def running(self) -> bool:
        """Whether it runs, as far as is known: nobody is asked."""
        return not self._output.ended

    # What it writes

    @property
    def output(self) -> str:
        """What it has written so far, as a terminal would show it: all of it up to 1 MiB, and its end beyond that."""
        return self._output.text()

    def lines(self, stream: Stream = None) -> Iterator[str]:
        """Yield the lines that it writes, without their ends, as they come, until it ends.

        Args:
            stream: ``"stdout"`` or ``"stderr"`` yields the lines of one; None, the default, those of both. Each of the
                three yields every line once: a second loop goes on where the first one was left.

        A loop gets every line, and the command waits for a slow one. Of lines that were there before the loop and that
        nobody read, the last 1 MiB is kept. The same holds for a line: a longer one comes in pieces. Raises
        `ConfigError` for another stream.

        >>> for line in web.start("tail -n 0 -F /var/log/app.log").lines():
        ...     print(line)
        """
        return self._take_lines(self.reading(stream))

    def reading(self, stream: Stream = None) -> AbstractContextManager[LineReader]:
        """Begin a loop over lines; `stream` as for `lines`. For `AsyncProcess`."""
        if stream not in (None, "stdout", "stderr"):
            raise ConfigError(f"stream={stream!r}: pass 'stdout' or 'stderr', or None for both")
        return self._output.reading(stream)

    def _take_lines(self, reading: AbstractContextManager[LineReader]) -> Iterator[str]:
        with reading as reader:
            while True:
                line = reader.take()
                if line is not None:
                    yield line
                    continue
                deadline = Deadline.after(None)
                try:
                    if not reader.wait(deadline):
                        return
                except DeadlineExpired:
                    raise self._late("the wait for its next line was cancelled", deadline) from None

    def wait_for(self, pattern: Patterns, timeout: Timeout = 10.0) -> ExpectMatch:
        """Wait until a pattern shows in the output, and return all data up to and including the match.

        What follows the match stays for the next call; `lines` and `output` lose nothing.

        Args:
            pattern: As for `Host.expect`.
            timeout: Seconds; None waits until the command ends.

        Raises `ExpectTimeout` (what arrived is in ``before``, and stays for the next call), `SessionClosed` when the
        command ended without it, `ConfigError` for a pattern that is not valid.

        >>> server.wait_for(r"listening on port (\\d+)\\n", timeout=30).groups()
        ('8080',)
        """
        patterns = compile_patterns(pattern)
        with self._runner.use(Deadline.after(timeout)) as deadline:
            try:
                match = self._output.wait_for_match(patterns, deadline)
            except DeadlineExpired:
                match = self._output.at_timeout(patterns)
                if match is None:
                    text = self._output.unmatched()
                    raise ExpectTimeout(
                        f"{self._label}: {patterns} did not arrive in time{patterns.hint}; the last that did: "
                        f"{text[-200:]!r}",
                        text,
                    ) from None
        if match is None:
            result = self.wait()
            text = self._output.unmatched()
            raise SessionClosed(
                f"{self._label} ended before {patterns} arrived ({result.message or f'exit status {result.retcode}'}); "
                f"its last output: {text[-200:]!r}",
                text,
                result.retcode,
            )
        return match

    # What it reads

    def send(self, data: str | bytes) -> None:
        """Send `data`, a string or bytes, to the command's stdin, as it is. Returns at once.

        What the command does not read waits in memory, and is dropped when it ends. Raises `ConfigError` when its stdin
        has ended: after `send_eof`, and when it was started with an ``input``.

        >>> process = host.start("cat"); process.send("hello\\n"); process.wait_for("hello")
        """
        if not isinstance(data, (str, bytes)):
            raise ConfigError(f"send({data!r}): pass a string or bytes")
        if not self._stdin.is_open:
            raise ConfigError(f"{self._label}: its stdin has ended, by send_eof() or because it was given an input=")
        self._stdin.send(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data)

    def send_eof(self) -> None:
        """End the command's stdin, after all that was sent. Idempotent.

        >>> sort = host.start("sort"); sort.send("b\\na\\n"); sort.send_eof(); sort.wait().output
        """
        self._stdin.send_eof()

    # Its end

    def wait(self, timeout: Timeout = None) -> CommandResult:
        """Wait until the command has ended, and return its result, which holds what `output` does.

        Args:
            timeout: Seconds; None waits as long as the command runs.

        Raises `WaitTimedOut` when it still runs then, and leaves it running.

        >>> web.start("make check").wait(timeout=600).check()
        """
        deadline = Deadline.after(timeout)
        try:
            self._output.wait_for_end(deadline)
        except DeadlineExpired:
            raise self._late("it still runs", deadline) from None
        self._thread.join()
        if self._result is None:
            assert self._error is not None
            raise self._error
        return self._result

    def stop(self, signal: str = "TERM", grace: Timeout = STOP_GRACE) -> CommandResult:
        """End the command with all that it started, and return its result. Idempotent.

        Its processes get the signal. The shell of a command that is a string gets it only when these have ended and it
        goes on, so that the result has the last words and the exit status of the program in it.

        Args:
            signal: The name of a signal, such as ``"INT"``; ``"KILL"`` ends it at once.
            grace: Seconds, 5 by default, after which it is killed; 0 kills at once, None waits as long as it takes.

        Does not raise when the command failed: ``.check()`` of the result does. Raises `ConfigError` for what is not a
        signal.

        >>> capture.stop("INT").output
        """
        match = SIGNAL.fullmatch(signal) if isinstance(signal, str) else None
        if match is None:
            raise ConfigError(f"signal={signal!r}: pass the name of a signal, such as 'TERM'")
        name = match[1]
        limit = Deadline.after(0 if name == "KILL" else grace)
        while self.running:
            try:
                limit.check()
                self._stdin.order(f"signal {name} {'shell' if isinstance(self._cmd, str) else 'program'}")
                self._output.wait_for_end(limit.at_most(SIGNAL_EVERY))
            except DeadlineExpired:
                if limit.expired and self.running:
                    self._killed = True
                    self._end("it was killed" if name == "KILL" else f"it did not end on SIG{name}, and was killed")
        return self.wait()

    def _late(self, what: str, deadline: Deadline) -> WaitTimedOut:
        return WaitTimedOut(f"{self._label}: {what}{f': {deadline.cancelled}' if deadline.cancelled else ''}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def aio(self) -> AsyncProcess:
        """The same verbs for ``async`` callers.

        >>> async for line in process.aio.lines():
        ...     print(line)
        """
        from .aio import AsyncProcess

        return AsyncProcess(self)
