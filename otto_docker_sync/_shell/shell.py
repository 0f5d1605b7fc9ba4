"""One shell at the far end, kept between commands."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Protocol

from .._channel.base import SIZE, WRITE_POLL, Channel, Chunk, ShellSource
from .._channel.markers import BeginMarker, new_nonce
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError, ConnectionLost, OttoError
from .capture import Capture
from .framing import Prompt, SessionFrame, handshake
from .matcher import Matcher, Responder
from .scripts import shell_command
from .warden import START_TIME, State, Warden, Wardens, never_started

CTRL_C, CTRL_U = b"\x03", b"\x15"
TTY_LINE = 4095
"""Bytes of a line, its end included, that a tty takes; it drops the rest."""

STARTS = 3
"""How often a shell is started that each time comes to life when its lease has ended."""
HANDSHAKE_TIME = 3.0
"""Seconds after which a shell that said nothing is spoken to again."""
ANSWER_TIME = 1.0
"""Seconds that a warden gets to say that it lives."""
CTRL_C_TIME = 0.5
"""Seconds that a command gets to leave on Ctrl-C, before it is killed."""
KILL_TIME = 2.0
"""Seconds that one more step of the recovery may take."""

ENVIRONMENT = {"TERM": "dumb", "ENV": "", "BASH_ENV": "", "HISTFILE": ""}
"""No escape sequences, no start-up file, no history: the shell is for programs."""


class ShellEnded(Exception):
    """The shell is gone. ``status`` is its exit status, None when nobody knows it.

    ``started`` is whether a command was given to it that it had begun.
    """

    def __init__(self, status: int | None, started: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self.started = started


class SessionSource(ShellSource, Protocol):
    """What sessions need of a host besides shells."""

    @property
    def _wardens(self) -> Wardens:
        """Who ends what is left of the host's shells."""


class Shell:
    """Owns the channel of one shell. What it shows between commands goes to `matcher`.

    One thread at a time reads; `talk`, `interrupt` and `end` come from any.
    """

    def __init__(self, host: SessionSource, warden: Warden, channel: Channel, tag: str, matcher: Matcher) -> None:
        self._host = host
        self._warden = warden
        self._matcher = matcher
        self._channel = channel
        self._tag = tag
        self._prompt = Prompt()
        self._serial = 0
        self._last = 0
        self._pid: int | None = None
        self._unfinished: SessionFrame | None = None
        self._started_at = 0.0
        self._may_run = False
        self._tail = b""
        self._prompts_due = 0
        self._typed = b""
        self._write_turn = threading.Lock()
        self.talking = False
        """Whether text was sent to it, and its prompt has not been seen since."""
        self._ended = False

    @classmethod
    def open(cls, host: SessionSource, matcher: Matcher, deadline: Deadline) -> Shell:
        """Start a shell and wait until it answers. Raises what the host makes of it when it does not start."""
        for _ in range(STARTS):
            warden = host._wardens.present(deadline)
            try:
                shell = cls._start(host, warden, matcher, deadline)
                if warden.state is not State.CLOSED:
                    return shell
                shell.leave(Deadline.grace(KILL_TIME))
            except OttoError:
                if warden.alive(Deadline.grace(ANSWER_TIME)) or warden.state not in (State.KILLED, State.CLOSED):
                    raise
        raise ConnectError(
            f"{host.id}: a shell was started {STARTS} times, and ended each time before it was ready: "
            "something kills the processes there, or another thread closes this host all the time"
        )

    @classmethod
    def _start(cls, host: SessionSource, warden: Warden, matcher: Matcher, deadline: Deadline) -> Shell:
        nonce, begin = new_nonce(), BeginMarker()
        channel = host._open_shell(
            ["-c", shell_command(warden.proof, SIZE, begin, host.shell)],
            tags={**ENVIRONMENT, "OTTO_HOST": warden.tag, "OTTO_SESSION": nonce},
            tty=True,
            deadline=deadline,
        )
        shell = cls(host, warden, channel, f"OTTO_SESSION={nonce}", matcher)
        try:
            # Nothing may be sent earlier: the terminals on the way are not raw yet, and would act on it.
            limit = deadline.at_most(START_TIME)
            try:
                shell._await_start(begin, limit)
            except DeadlineExpired:
                # Once it runs it can be ended; one that docker starts behind our back stays until the lease ends.
                with suppress(DeadlineExpired, OttoError):
                    shell._await_start(begin, Deadline.grace(KILL_TIME))
                raise
            shell._shake_hands(limit)
        except BaseException as error:
            shell.leave(Deadline.grace(KILL_TIME))
            if isinstance(error, DeadlineExpired) and not deadline.expired:
                raise never_started(host.id) from None
            if isinstance(error, ShellEnded):
                text = f"{host.id}: the shell {host.shell!r} ended at once, with status {error.status}"
                raise OttoError(text) from None
            raise
        return shell

    def _await_start(self, begin: BeginMarker, deadline: Deadline) -> None:
        out = b""
        while begin.output not in out:
            chunk = self._channel.read(deadline)
            if chunk.ended:
                raise self._host._explain(out, b"", self._channel.exit_status(deadline), deadline)
            out = (out + chunk.out)[-65536:]

    def _shake_hands(self, deadline: Deadline) -> None:
        while self._pid is None:
            self._channel.write(handshake(self._prompt, self._host._environment()), deadline)
            try:
                self._pid = self._ask_pid("", deadline.at_most(HANDSHAKE_TIME))
            except DeadlineExpired:
                deadline.check()
        # Until the process runs, its terminal may not take the size.
        self._channel.resize(*SIZE)

    def _ask_pid(self, preparation: str, deadline: Deadline) -> int | None:
        """Have the shell print its process id, which also tells that it is this shell that answers."""
        capture = Capture(None, lambda _: None)
        last = self._last
        self.run(f"{preparation}\\command printf %s $$", deadline, capture, Responder(None))
        self._last = last
        digits = bytes(capture.output)
        return int(digits) if digits.isdigit() else None

    @property
    def gone(self) -> bool:
        """Whether it has ended while nobody talked to it."""
        try:
            while True:
                self.listen(Deadline.grace(0))
        except DeadlineExpired:
            return False
        except (ShellEnded, ConnectionLost):
            return True

    @property
    def unfinished(self) -> bool:
        """Whether a command was abandoned half-way, so that `recover` must come first."""
        return self._unfinished is not None

    def run(self, command: str | bytes, deadline: Deadline, capture: Capture, responder: Responder) -> int:
        """Run `command` and return its status.

        Raises `ShellEnded` when the shell ends with it; on `DeadlineExpired` and whatever else, `recover` is next.
        """
        self._serial += 1
        frame = SessionFrame(command, self._prompt, self._serial, self._last)
        self._started_at = monotonic()
        self._unfinished = frame
        self._follow(frame, deadline, capture, responder)
        return self._finished(frame)

    def _finished(self, frame: SessionFrame) -> int:
        assert frame.retcode is not None
        self._unfinished = None
        self._last = frame.retcode
        self._prompts_due = int(frame.prompt_follows)
        self._show(frame.rest)
        return frame.retcode

    def _follow(self, frame: SessionFrame, deadline: Deadline, capture: Capture, responder: Responder) -> None:
        """Type the frame, and take what comes until its end. Both at once: the shell may echo what it is sent."""
        upload, start = frame.upload, frame.start
        self._may_run = False
        while not frame.ended:
            if not upload and start and frame.uploaded:
                upload, start = start, b""
                self._may_run = True
            if upload:
                with self._write_turn:
                    taken = self._channel.write_some(upload[:65536])
                upload = upload[taken:]
                if taken:
                    continue
            try:
                chunk = self._read(deadline, WRITE_POLL if upload else None)
            except ConnectionLost:
                capture.add(frame.finish())
                raise
            if chunk is None:
                continue
            data = frame.finish() if chunk.ended else frame.feed(chunk.out)
            for answer in responder.feed(capture.add(data)):
                self.send(answer, deadline)
            if chunk.ended:
                self._unfinished = None
                raise ShellEnded(self._exit_status(), frame.started)

    def _read(self, deadline: Deadline, seconds: float | None) -> Chunk | None:
        """What arrives within `seconds`, if given; None when nothing does."""
        try:
            return self._channel.read(deadline if seconds is None else deadline.at_most(seconds))
        except DeadlineExpired:
            deadline.check()
            return None

    def _exit_status(self) -> int | None:
        try:
            return self._channel.exit_status(Deadline.grace(KILL_TIME))
        except (DeadlineExpired, ConnectionLost):
            return None

    def recover(self) -> bool:
        """End the command that was left half-way, and all that it started. Whether the shell is usable again.

        Ctrl-C first, so that the shell and its state live on; then the warden kills what is left.
        """
        frame = self._unfinished
        if frame is None:
            return True
        try:
            self.interrupt()
            pid = self._pid
            if not self._may_run:  # the line that runs it was not sent, so no end will come
                return self._ask_pid("", Deadline.grace(KILL_TIME)) == pid
            self._drain(frame, CTRL_C_TIME)
            deadline = Deadline.grace(KILL_TIME)
            done = pid is not None and self._host._wardens.ask(
                self._warden, lambda warden: warden.end_run(frame.run_tag, pid, self._started_at, deadline), deadline
            )
            if not self._drain(frame, KILL_TIME if done else CTRL_C_TIME):
                return False
            self._finished(frame)
            # A program that was killed may have left the terminal raw.
            return self._ask_pid("stty sane -echo 2>/dev/null; ", Deadline.grace(KILL_TIME)) == pid
        except (DeadlineExpired, ShellEnded, OttoError):
            return False

    def _drain(self, frame: SessionFrame, seconds: float) -> bool:
        """Drop the output up to the end of the frame. Whether the end came in time."""
        deadline = Deadline.grace(seconds)
        try:
            while not frame.ended:
                chunk = self._channel.read(deadline)
                if chunk.ended:
                    raise ShellEnded(None)
                deadline.check()
                frame.feed(chunk.out)
        except DeadlineExpired:
            return False
        return True

    def interrupt(self) -> None:
        """Type Ctrl-C, behind whatever is still on its way."""
        try:
            self._channel.write(CTRL_C, Deadline.grace(CTRL_C_TIME))
        except (DeadlineExpired, ConnectionLost):
            pass  # whoever reads will learn of it

    def send(self, answer: str | bytes, deadline: Deadline) -> None:
        """Type an answer to the command that runs. Raises `ConfigError` for a line that the tty would cut."""
        data = typed(answer)
        with self._write_turn:
            self._channel.write(data, deadline)

    def talk(self, data: bytes) -> int:
        """Type as much of `data` as is taken now, for the user, who then decides what to wait for."""
        with self._write_turn:
            self.talking = self.talking or bool(data)
            taken = self._channel.write_some(data[:65536])
        self._typed = data[:taken][-1:] or self._typed
        return taken

    def pause(self) -> None:
        """Let the far end read what was typed."""
        self._channel.pause(Deadline.grace(WRITE_POLL))

    def listen(self, deadline: Deadline) -> None:
        """Wait for text between commands and give it to the matcher. Raises `ShellEnded` at the end."""
        chunk = self._channel.read(deadline)
        if chunk.ended:
            raise ShellEnded(self._exit_status())
        self._show(chunk.out)

    def _show(self, data: bytes) -> None:
        shown = self._prompt.split(self._tail + data)
        self._matcher.feed(shown.text)
        self._tail = shown.tail
        fresh = shown.prompts - self._prompts_due
        self._prompts_due = max(0, -fresh)
        if shown.at_prompt and fresh > 0:
            self.talking = False

    def await_prompt(self, deadline: Deadline) -> None:
        """After text was sent: wait for the shell's prompt, so that what comes next is no input of a program."""
        if self.talking and self._typed != b"\n":
            self._channel.write(CTRL_U, deadline)
            self.talking = False
        while self.talking:
            self.listen(deadline)

    @property
    def ended_by_us(self) -> bool:
        """Whether we ended it, alone or with its lease."""
        return self._ended or self._warden.state is State.CLOSED

    @property
    def leased(self) -> bool:
        """Whether the warden that holds its lease answers."""
        return self._warden.alive(Deadline.grace(ANSWER_TIME))

    def end(self, deadline: Deadline) -> None:
        """End the shell and all that was started from it. From any thread; does not raise; twice is once."""
        if self._ended:
            return
        self._ended = True
        self._end_by_order(deadline)
        self._channel.close()

    def _end_by_order(self, deadline: Deadline) -> bool:
        order = partial(Warden.end_shell, shell_tag=self._tag, shell_pid=self._pid, deadline=deadline)
        return self._host._wardens.ask(self._warden, order, deadline)

    def leave(self, deadline: Deadline) -> None:
        """End a shell that nobody has used yet: by order, or else, with its lease over, by its own hand."""
        self._ended = True
        if not self._end_by_order(deadline):
            with suppress(DeadlineExpired, OttoError):
                self._channel.write(b"exit\n", deadline)
                while not self._channel.read(deadline).ended:
                    pass
        self._channel.close()


def typed(text: str | bytes) -> bytes:
    """What to type. Raises `ConfigError` for a line that a terminal would cut."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    if any(len(line) >= TTY_LINE for line in data.split(b"\n")):
        raise ConfigError(
            f"a line of {TTY_LINE} bytes or more cannot be typed: a terminal drops what exceeds it; send shorter "
            "lines, or put the text into a file"
        )
    return data
