"""A command in a fresh process, whose whole tree ends when the client lets go of it."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from .._channel.backend import Backend
from .._channel.base import Channel
from .._channel.markers import BeginMarker, EndMarker, encode_command, new_nonce
from ..deadline import Cancellation, Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectionLost
from ..limits import CTRL_C_TIME, KILL_TIME, OTHER_END_TIME, REASON_TIME, START_TIME
from ..result import Command
from .capture import Capture
from .framing import Section
from .interposed import interposed_error, joined_streams, kept_stderr, stream_probe
from .leftovers import Report, end_left, find_report
from .scripts import loader, oneshot_script
from .stdin import CommandInput
from .warden import never_started


@dataclass
class Outcome:
    """How a command ended, before it becomes a result. ``retcode`` None and a message: nobody knows."""

    retcode: int | None = None
    message: str = ""
    timed_out: bool = False
    session_ended: bool = False
    new_session: bool = False

    @classmethod
    def out_of_time(cls, deadline: Deadline, when: str) -> Outcome:
        """The time was over, or the call was cancelled."""
        cancelled = deadline.cancelled
        return cls(None, f"{cancelled or 'timed out'} {when}", timed_out=not cancelled)


def command_text(command: Command) -> str:
    """The command as text for a shell; a list becomes the words of one program's argv.

    Raises `ConfigError` for what is neither.
    """
    if isinstance(command, str):
        return command
    if isinstance(command, Sequence) and command and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    raise ConfigError(
        f"{command!r} is not a valid command: pass a string for the shell, or a list of at least one str as argv"
    )


class Marks:
    """The marks of one command, and the parts of its streams that lie between them.

    `merged` is for a channel on which stdout and stderr are one. With `answers`, a nonce, the wrapper answers messages.
    """

    def __init__(self, *, merged: bool, answers: str = "") -> None:
        self.begin = BeginMarker()
        self.end = new_nonce()
        ends = (EndMarker(f"<{self.end}:".encode()),)
        answer = EndMarker(f"<{answers}:".encode()) if answers else None
        self.sections = [Section(self.begin, ends, answer=answer) for _ in range(1 if merged else 2)]

    @property
    def started(self) -> bool:
        return any(section.started for section in self.sections)


def command_script(command: Command) -> bytes:
    """The text that a shell runs for `command`."""
    text = command_text(command)
    return encode_command(text if isinstance(command, str) else f"exec {text}")


def run_oneshot(
    backend: Backend,
    command: Command,
    deadline: Deadline,
    capture: Capture,
    *,
    environment: Mapping[str, str] | None = None,
    stdin: CommandInput | None = None,
    on_start: Callable[[], object] | None = None,
) -> Outcome:
    """Run `command` and collect its output in `capture`. `environment` comes on top of the host's own.

    The script travels over stdin, which stays open as the lease. Marks on both streams tell the command's own output
    and status from whatever docker, sshd and start-up files have to say. `on_start` is called when the command has
    begun. Raises what `Backend.startup_error` makes of it when the command could not be started.
    """
    script = command_script(command)
    nonce, answers = new_nonce(), new_nonce() if stdin else ""
    started_at = monotonic()
    marker_env = {"OTTO_TAG": nonce, **backend.guard.marker_env()}
    channel = backend.open_shell(["-c", loader(nonce)], marker_env=marker_env, deadline=deadline)
    try:
        marks = Marks(merged=channel.tty, answers=answers)
        request = stream_probe(nonce, channel) + oneshot_script(
            nonce,
            marks.begin,
            marks.end,
            script,
            {**backend.environment(), **(environment or {})},
            backend.shell,
            merged=channel.tty,
            takes_signals=stdin is not None and stdin.may_signal,
            answers=answers,
        )
        outcome = exchange(backend, channel, nonce, marks, request, deadline, capture, stdin=stdin, on_start=on_start)
        # Before the channel is closed: its exit status may come after the end of its output.
        return outcome or ended_early(backend, channel, marks, started_at, nonce)
    finally:
        channel.close()


def exchange(
    backend: Backend,
    channel: Channel,
    tag: str,
    marks: Marks,
    request: bytes,
    deadline: Deadline,
    capture: Capture,
    *,
    stdin: CommandInput | None = None,
    on_start: Callable[[], object] | None = None,
    start_time: float = START_TIME,
) -> Outcome | None:
    """Send a command to its wrapper, and follow it to its end; None when the channel ended before.

    A command that is cut off is ended, with all that has `tag` in its environment. `start_time` is how many seconds
    the wrapper may take to say that it has begun.
    """
    started_at = monotonic()
    capture.separate_streams = not channel.tty
    try:
        channel.write(request + (stdin.opening() if stdin else b""), deadline)
        if _collect(channel, marks.sections, deadline, deadline.at_most(start_time), capture, stdin, on_start):
            return Outcome(marks.sections[0].retcode)
    except _StreamsJoined:
        left = _end_tree(backend, channel, tag, marks.end)
        return Outcome(None, joined_streams(f"the command was stopped{f', but {left}' if left else ''}"))
    except DeadlineExpired:
        left = _end_tree(backend, channel, tag, marks.end)
        if not deadline.expired:
            if reason := backend.loss_reason_or_error(started_at, Deadline.grace(KILL_TIME)):
                return Outcome(None, f"the outcome is unknown: {reason}")
            raise never_started(backend.id, start_time) from None
        outcome = Outcome.out_of_time(deadline, f"after {monotonic() - started_at:.1f} s")
        if left:
            outcome.message += f"; {left}"
        return outcome
    except ConnectionLost as error:
        return Outcome(None, f"the outcome is unknown: {error}")
    except BaseException:
        _end_tree(backend, channel, tag, marks.end)
        raise
    return None


class _StreamsJoined(Exception):
    """Both streams arrive as one."""


def _collect(
    channel: Channel,
    sections: list[Section],
    deadline: Deadline,
    start_limit: Deadline,
    capture: Capture,
    stdin: CommandInput | None,
    on_start: Callable[[], object] | None,
) -> bool:
    """Send the input, and read until each stream has shown its end (True), or the channel has ended."""
    started = False
    try:
        while not all(section.ended for section in sections):
            limit = deadline if started else start_limit
            one_ended = any(section.ended for section in sections)
            wait = OTHER_END_TIME if one_ended else None
            more = Cancellation()
            # Not before the start: what was read of a file could not be sent again with a second attempt.
            if stdin is not None and sections[-1].started and not one_ended:
                limit.check()
                stdin.on_more(more.cancel)
                wait = stdin.advance(channel, sections[-1], limit)
            try:
                chunk = channel.read((limit if wait is None else limit.at_most(wait)).also(more))
            except DeadlineExpired:
                if (wait is None and not more.cancelled) or limit.expired:
                    raise
                if one_ended:
                    channel.write_eof()  # the wrapper waits for this: now its channel ends
                continue
            if chunk.ended:
                return False
            pieces = [section.feed(chunk[index]) for index, section in enumerate(sections)]
            if not started and any(section.started for section in sections):
                started = True
                if on_start is not None:
                    on_start()
            for index, piece in enumerate(pieces):
                capture.add(piece, index)
            if any(section.joined for section in sections):
                raise _StreamsJoined
        return True
    finally:
        for index, section in enumerate(sections):
            capture.add(section.finish(), index)


def _end_tree(backend: Backend, channel: Channel, nonce: str, end: str) -> str:
    """End the stdin lease, and wait until the remote watcher has done its work.

    Returns in words what could not be ended, which is also logged.
    """
    deadline = Deadline.grace(KILL_TIME)
    received = b""
    report = None
    ended = False
    try:
        channel.write_eof()
        while not ended:
            chunk = channel.read(deadline)
            ended = chunk.ended
            received = (received + chunk.out)[-65536:]
            if report is None and (report := find_report(end, received)):
                # The channel ends soon, too, unless a process that could not be ended keeps it open.
                deadline = deadline.at_most(CTRL_C_TIME)
    except (DeadlineExpired, ConnectionLost):
        pass
    if report is None and ended:
        report = Report()
    left = end_left(backend, report, f"OTTO_TAG={nonce}", name_unseen=True)
    if left:
        backend.log.event(f"a command was stopped; {left}", logging.WARNING)
    return left


def ended_early(backend: Backend, channel: Channel, marks: Marks, started_at: float, nonce: str) -> Outcome:
    """Return how a command ended whose channel has ended before it. Raises if it had not been started yet.

    `nonce` is that of the loader.
    """
    grace = Deadline.grace(REASON_TIME)
    try:
        status = channel.exit_status(grace)
    except (DeadlineExpired, ConnectionLost):
        status = None
    if not marks.started:
        noise = [section.noise() for section in marks.sections] + [b""]
        interposed = interposed_error(backend.id, nonce, noise[0])
        raise interposed or backend.startup_error(noise[0], noise[1], status, grace)
    end = f"the command has ended with status {marks.sections[0].retcode}"
    if marks.begin.output in marks.sections[0].rest:
        return Outcome(None, joined_streams(end))
    if marks.sections[0].ended and not marks.sections[-1].started:
        return Outcome(None, kept_stderr(end))
    what = backend.loss_reason_or_error(started_at, grace)
    if what:
        return Outcome(None, f"the outcome is unknown: {what}")
    how = "without saying how" if status is None else f"with status {status}"
    return Outcome(None, f"the outcome is unknown: the shell around the command ended early, {how}")
