"""One remote shell, kept between commands.

The way of a command: `Shell.run` types a `SessionFrame` and reads until the frame has ended. When that does not
happen in time, `recover` makes the shell usable again: Ctrl-C first, then the warden kills what the command left, then
the shell has to answer with its process id. If it does not, its session ends it and opens another.
"""

from __future__ import annotations

import threading
from time import monotonic

from .._channel.backend import Backend
from .._channel.base import SIZE, Chunk
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError, ConnectionLost, OttoError
from ..limits import (
    ANSWER_TIME,
    CTRL_C_TIME,
    HANDSHAKE_TIME,
    KILL_TIME,
    MAX_STARTS,
    RETURN_TIME,
    START_TIME,
    TTY_LINE,
    WRITE_POLL,
)
from .capture import Capture
from .framing import Prompt, SessionFrame, handshake, sourced_in_bash
from .leftovers import UNKNOWN_END
from .matcher import Matcher, Responder
from .scripts import export_text
from .shell_process import ShellProcess
from .warden import State, WardenKeeper, never_started

CTRL_C, CTRL_U = b"\x03", b"\x15"


class ShellEnded(Exception):
    """The shell is gone. ``status`` is its exit status, None when nobody knows it.

    ``started`` is whether it had begun to run the command that it was given.
    """

    def __init__(self, status: int | None, started: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self.started = started


class CannotRedirect(Exception):
    """The shell is there, but cannot redirect any more, so that no end of a command could be seen."""


class Shell:
    """Owns one shell's process, and talks to it. What the shell prints between commands goes to `matcher`.

    One thread at a time reads: the one that holds the session's lock. Any thread may call `send_some`, `interrupt` and
    `resize`, and end the ``process``.
    """

    def __init__(self, process: ShellProcess, matcher: Matcher) -> None:
        self.process = process
        self._channel = process.channel
        self._matcher = matcher
        self._prompt = Prompt()
        self._kind = b""
        """The shell as it calls itself, where that makes a difference: bash, ksh93."""
        self._serial = 0
        """The number of the last command."""
        self._last = 0
        """The exit status that ``$?`` shows to the next command."""
        self._unfinished: SessionFrame | None = None
        """The command that runs, or was abandoned."""
        self._started_at = 0.0
        self._start_sent = False
        """Whether the line that runs the unfinished command was sent, so that an end of it will come."""
        self.left = ""
        """What `recover` could not end of the last command, in words."""
        self._write_lock = threading.Lock()
        self._last_typed = b""
        self._typing_broken = False
        """Whether `send_some` was interrupted, so that nobody knows what was typed."""
        self.awaiting_prompt = False
        """Whether text was sent to it, and its prompt has not been seen since."""
        self._prompts_due = 0
        """Prompts still to come for commands that have ended by their end marker."""
        self._tail = b""
        """The end of what came between commands, where it may become a prompt."""

    # Opening

    @classmethod
    def open(
        cls, backend: Backend, wardens: WardenKeeper, matcher: Matcher, deadline: Deadline, size: tuple[int, int] = SIZE
    ) -> Shell:
        """Start a shell and wait until it answers. Raises the host's `startup_error` when it does not start."""
        for _ in range(MAX_STARTS):
            warden = wardens.current(deadline)
            try:
                shell = cls(ShellProcess.start(backend, wardens, warden, size, deadline), matcher)
                shell._get_ready(size, deadline)
                if warden.state is not State.CLOSED:
                    return shell
                # Another thread closed the host meanwhile, and the lease with it.
                shell.process.abort(Deadline.grace(KILL_TIME))
            except OttoError:
                # A shell without a lease leaves at once. If the warden is gone, that was the reason: try another.
                if warden.alive(Deadline.grace(ANSWER_TIME)) or warden.state not in (State.KILLED, State.CLOSED):
                    raise
        raise ConnectError(
            f"{backend.id}: a shell was started {MAX_STARTS} times, and ended each time before it was ready: "
            "something kills the processes there, or another thread keeps closing this host"
        )

    def _get_ready(self, size: tuple[int, int], deadline: Deadline) -> None:
        """Wait until the shell answers. When it does not, it is ended."""
        backend = self.process.backend
        try:
            limit = deadline.at_most(START_TIME)
            self.process.await_terminal(limit)
            self._shake_hands(limit)
            self.resize(*size)  # until the process runs, its terminal may not take the size
        except BaseException as error:
            self.process.abort(Deadline.grace(KILL_TIME))
            if isinstance(error, DeadlineExpired) and not deadline.expired:
                raise never_started(backend.id) from None
            if isinstance(error, ShellEnded):
                text = f"{backend.id}: the shell {backend.shell!r} ended at once, with status {error.status}"
                raise OttoError(text) from None
            raise

    def _shake_hands(self, deadline: Deadline) -> None:
        """Make it ours: no echo, our prompt, our functions. Repeated, as it may lose what comes while it starts."""
        while self.process.pid is None:
            self._channel.write(handshake(self._prompt), deadline)
            try:
                self.process.pid = self._ask_pid("", deadline.at_most(HANDSHAKE_TIME))
            except DeadlineExpired:
                deadline.check()
        if environment := self.process.backend.environment():
            # As a command, since that reaches the shell unchanged, whatever bytes it has.
            self._run_unseen(export_text(environment), deadline)

    def _ask_pid(self, preparation: str, deadline: Deadline) -> int | None:
        """Have the shell print its process id, which also shows that this shell answers, and no other program."""
        ask = "{ __otto_w '%s %s' $$ \"$__otto_h\"; } >/dev/null 2>&1"
        digits, _, self._kind = self._run_unseen(preparation + ask, deadline).partition(b" ")
        return int(digits) if digits.isdigit() else None

    def _run_unseen(self, command: str, deadline: Deadline) -> bytes:
        """Run a command of ours, which leaves ``$?`` as it was, and return its output."""
        capture = Capture(None, lambda _: None)
        last = self._last
        self.run(command, deadline, capture, Responder(None))
        self._last = last
        return bytes(capture.output)

    # Running a command

    def run(self, command: str | bytes, deadline: Deadline, capture: Capture, responder: Responder) -> int:
        """Run `command` and return its exit status.

        Raises `ShellEnded` when the shell ends with it, `CannotRedirect` when it cannot be used after it. After
        `DeadlineExpired` or any other error, call `recover`.
        """
        if self._kind == b"bash":
            command = sourced_in_bash(command)
        types_line_ends = self._kind != b"ksh93"
        frame = SessionFrame(command, self._prompt, self._serial + 1, self._last, types_line_ends=types_line_ends)
        self._started_at = monotonic()
        self._start_sent = False
        self._unfinished = frame
        self._serial += 1
        self._exchange(frame, deadline, capture, responder)
        status = self._finish(frame)
        # Shells have these statuses when they cannot redirect, and for other errors of their own.
        if not frame.prompt_follows and status in (1, 2) and not self._can_redirect():
            raise CannotRedirect
        return status

    def _exchange(self, frame: SessionFrame, deadline: Deadline, capture: Capture, responder: Responder) -> None:
        """Type the frame, and take what comes until its end.

        Both at once: a shell may echo what it is sent, and if nobody reads the echo, it takes no more. The line that
        runs the command (`frame.start`) is sent only when the shell has taken the upload. A shell that stands still
        can so be given up without the command running later.
        """
        upload, start = frame.upload, frame.start
        if frame.uploaded:
            # What a tty queues without the shell's help goes in one flight with the line that runs it.
            upload, start = upload + start, b""
            self._start_sent = True
        return_tried = False
        while not frame.ended:
            if not upload and start and frame.uploaded:
                upload, start = start, b""
                # Set before the first byte is sent: an interrupt in between must wait for the command's end.
                self._start_sent = True
            if upload:
                if deadline.cancelled:
                    raise DeadlineExpired
                with self._write_lock:
                    taken = self._channel.write_some(upload[:65536])
                upload = upload[taken:]
                if taken:
                    continue
            wait = WRITE_POLL if upload else None
            if wait is None and responder.wants_return and frame.holds_return and not return_tried:
                wait, return_tried = RETURN_TIME, True
            try:
                chunk = self._read(deadline, wait)
            except ConnectionLost:
                capture.add(frame.finish())
                raise
            if chunk is None:
                for answer in responder.feed_return() if return_tried else ():
                    self.send(answer, deadline)
                continue
            return_tried = False
            data = frame.finish() if chunk.ended else frame.feed(chunk.out)
            for answer in responder.feed(capture.add(data)):
                self.send(answer, deadline)
            if chunk.ended:
                self._unfinished = None
                raise ShellEnded(self.process.exit_status(), frame.started)

    def _read(self, deadline: Deadline, seconds: float | None) -> Chunk | None:
        """Return what arrives within `seconds`, if that is given; None when nothing does."""
        try:
            return self._channel.read(deadline if seconds is None else deadline.at_most(seconds))
        except DeadlineExpired:
            deadline.check()
            return None

    def _finish(self, frame: SessionFrame) -> int:
        """Return the exit status of a frame that has ended, and keep what the next command needs of it."""
        assert frame.retcode is not None
        self._last = frame.retcode
        self._prompts_due = int(frame.prompt_follows)
        self._take_idle_output(frame.rest)
        self._unfinished = None
        return frame.retcode

    def _can_redirect(self) -> bool:
        """After a command that ended by the prompt alone: find out whether the shell was able to print the marker."""
        question, answer = self._prompt.redirection_test(self._serial)
        deadline = Deadline.grace(ANSWER_TIME)
        received = b""
        try:
            self._channel.write(question, deadline)
            while (match := answer.search(received)) is None:
                chunk = self._channel.read(deadline)
                if chunk.ended:
                    raise ShellEnded(self.process.exit_status(), started=True)
                received += chunk.out
        except DeadlineExpired:
            return True  # the next command will see
        self._take_idle_output(received)
        return match.retcode == 0

    def send(self, answer: str | bytes, deadline: Deadline) -> None:
        """Type an answer to the command that runs. Raises `ConfigError` for a line that the tty would cut."""
        data = encode_typed(answer)
        with self._write_lock:
            self._channel.write(data, deadline)

    # After a command that was abandoned

    @property
    def unfinished(self) -> bool:
        """Whether a command, or typing, was abandoned half-way, so that `recover` must come first."""
        return self._unfinished is not None or self._typing_broken

    def recover(self) -> bool:
        """End the command that was left half-way, and all that it started. Returns whether the shell is usable again.

        Ctrl-C comes first, because on that the shell keeps its state. Then the warden kills what is left.
        """
        frame = self._unfinished
        self.left = ""
        if frame is None and not self._typing_broken:
            return True
        try:
            self.interrupt()
            if frame is None or not self._start_sent:
                # The command never ran, so no end of it will come; what was uploaded is dropped by the next frame.
                self._typing_broken = self.awaiting_prompt = False
                return self._still_answers()
            self._drain(frame, CTRL_C_TIME)
            left = self.process.end_run(frame.run_tag, self._started_at, Deadline.grace(KILL_TIME))
            self.left = UNKNOWN_END if left is None and not self.process.ended_by_us else left or ""
            if not self._was_dropped(frame):
                if not self._drain(frame, CTRL_C_TIME if left is None else KILL_TIME):
                    return False
                self._finish(frame)
            # A program that was killed may have left the terminal raw.
            return self._still_answers("stty sane -echo 2>/dev/null; ")
        except (DeadlineExpired, ShellEnded, OttoError):
            return False

    def interrupt(self) -> None:
        """Type Ctrl-C, after whatever is still on its way."""
        try:
            self._channel.write(CTRL_C, Deadline.grace(CTRL_C_TIME))
        except (DeadlineExpired, ConnectionLost):
            pass  # the thread that reads will find that out

    def _drain(self, frame: SessionFrame, seconds: float) -> bool:
        """Drop the output up to the end of the frame. Returns whether the end came within `seconds`."""
        deadline = Deadline.grace(seconds)
        try:
            while not frame.ended:
                chunk = self._channel.read(deadline)
                if chunk.ended:
                    raise ShellEnded(None)
                # A flood always has something to read, so that alone would never end.
                deadline.check()
                frame.feed(chunk.out)
        except DeadlineExpired:
            return False
        return True

    def _was_dropped(self, frame: SessionFrame) -> bool:
        """Whether the shell waits for a line, and will never see the one that was to run the command.

        On Ctrl-C a terminal drops what the shell has not read yet.
        """
        return not (frame.ended or frame.started) and self._prompt.split(frame.noise()).at_prompt

    def _still_answers(self, preparation: str = "") -> bool:
        """Whether the shell that was opened answers. Asked twice: a late Ctrl-C takes a part of the question along."""
        deadline = Deadline.grace(KILL_TIME)
        return (self._ask_pid(preparation, deadline) or self._ask_pid(preparation, deadline)) == self.process.pid

    # Between commands

    def send_some(self, data: bytes) -> int:
        """Type as much of `data` as is taken now, and return how many bytes that were."""
        with self._write_lock:
            try:
                # Set before the bytes leave: the prompt that answers them may arrive at once, in another thread.
                self.awaiting_prompt = self.awaiting_prompt or bool(data)
                taken = self._channel.write_some(data[:65536])
                self._last_typed = data[:taken][-1:] or self._last_typed
                return taken
            except BaseException:
                # Nobody knows what was typed, so nobody knows what to wait for.
                self._typing_broken = True
                raise

    def pause(self) -> None:
        """Give the remote side time to read what was typed."""
        self._channel.pause(Deadline.grace(WRITE_POLL))

    def pump(self, deadline: Deadline) -> None:
        """Wait for text between commands and give it to the matcher. Raises `ShellEnded` at the end."""
        chunk = self._channel.read(deadline)
        if chunk.ended:
            raise ShellEnded(self.process.exit_status())
        self._take_idle_output(chunk.out)

    def poll_ended(self) -> bool:
        """Take what has arrived between commands, and return whether the shell has ended."""
        try:
            while True:
                self.pump(Deadline.grace(0))
        except DeadlineExpired:
            return False
        except (ShellEnded, ConnectionLost):
            return True

    def await_prompt(self, deadline: Deadline) -> None:
        """After text was sent: wait for the shell's prompt, so that no program takes the next command for input."""
        if self.awaiting_prompt and self._last_typed != b"\n":
            # An unfinished line gets no prompt. Ctrl-U removes it.
            self._channel.write(CTRL_U, deadline)
            self.awaiting_prompt = False
        while self.awaiting_prompt:
            self.pump(deadline)

    def _take_idle_output(self, data: bytes) -> None:
        """Give the matcher what came between commands, without the prompts in it."""
        idle = self._prompt.split(self._tail + data)
        self._matcher.feed(idle.text)
        self._tail = idle.tail
        # The prompt of a command that ended by its marker comes after it. It is no answer to what was typed since.
        fresh = idle.prompts - self._prompts_due
        self._prompts_due = max(0, -fresh)
        if idle.at_prompt and fresh > 0:
            self.awaiting_prompt = False

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size."""
        self._channel.resize(columns, rows)


def encode_typed(text: str | bytes) -> bytes:
    """Return the bytes to type. Raises `ConfigError` for a line that a terminal would cut."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if any(len(line) >= TTY_LINE for line in data.split(b"\n")):
        raise ConfigError(
            f"a line of {TTY_LINE} bytes or more cannot be typed: a terminal drops what exceeds it; send shorter "
            "lines, or put the text into a file"
        )
    return data
