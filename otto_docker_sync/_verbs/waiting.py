"""Waiting until a host is ready: its health check, a port, an address, its log, a command.

Each condition looks again and again, WAIT_POLL apart, by one command or one question to docker; only the log is
followed. A container that ends meanwhile ends the wait: nothing is started again for it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Union

from .._channel.backend import Backend, HostState
from .._channel.forward import check_port, check_route
from .._channel.markers import new_nonce
from .._channel.scripts import script
from .._channel.tcp import Stream
from .._shell import Capture, Runner, command_text, run_oneshot
from ..deadline import Deadline, DeadlineExpired, Timeout, timeout_seconds
from ..errors import (
    ConfigError,
    ConnectError,
    ContainerNotRunning,
    NoSuchContainer,
    OttoError,
    ShellNotFound,
    WaitTimedOut,
)
from ..limits import DOCKER_TIME, HTTP_TIME, LOOK_TIME, LOSS_PATIENCE, MAX_RESTARTS, SHOWN_COMPOSE, WAIT_POLL
from ..locks import Signal
from ..result import Command, shorten

LogPattern = Union[str, "re.Pattern[str]"]
HTTP = re.compile(r"(?::(\d+))?(/[^\s]*)")
STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d\d\d)\b")


class MayHaveEnded(Exception):
    """A look could not be taken, perhaps because the container has ended."""


class Patience(NamedTuple):
    """How long to wait: until `deadline`, or, with `once`, for one look at each condition."""

    deadline: Deadline
    once: bool = False

    @classmethod
    def after(cls, timeout: Timeout) -> Patience:
        """Start the clock of a public wait. Raises `ConfigError` for a timeout that is not valid."""
        once = timeout_seconds(timeout) == 0
        return cls(Deadline.after(LOOK_TIME if once else timeout), once)


class Condition(ABC):
    """Something to wait for. ``what`` names it, and ``seen`` says what the last look has seen.

    With ``once`` there is one look, which must not wait for what may come.
    """

    what: str
    seen = ""
    prepared = False
    once = False

    def prepare(self, backend: Backend, deadline: Deadline) -> None:  # noqa: B027 (most need nothing)
        """Raise what makes the wait pointless. Called before the first look."""

    def may_be_over(self, state: HostState) -> bool:  # noqa: ARG002 (others look at it)
        """Whether a container may have ended in this way."""
        return False

    @abstractmethod
    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        """Look. Raises `MayHaveEnded`, and what no further look would change."""


class Healthy(Condition):
    """The health check succeeds. One without a check need only run, unless it is `required`."""

    what = "its health check"

    def __init__(self, *, required: bool) -> None:
        self._required = required

    def prepare(self, backend: Backend, deadline: Deadline) -> None:
        state = backend.host_state(deadline)
        if self._required and (state is None or not state.health):
            reason = "a machine has no health check" if state is None else "the container has no health check"
            raise ConfigError(f"{backend.id}: healthy=True: {reason}; wait for port=, http=, log= or command=")

    def may_be_over(self, state: HostState) -> bool:
        # A job that is done.
        return not self._required and state.word == "exited" and state.exit_status == 0

    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        state = backend.host_state(deadline)
        if state is None or (state.word == "running" and not state.health) or self.may_be_over(state):
            return True
        if state.word != "running":
            raise MayHaveEnded
        self.seen = f"it is {state.health}"
        if state.probe:
            self.seen += f", and its check said {shorten(state.probe)!r}"
        return state.health == "healthy"


class PortListens(Condition):
    """Somebody listens on a TCP port, on any address: the host's own list says so, and nobody is disturbed."""

    def __init__(self, port: int) -> None:
        self.what = f"port {port}"
        self._port = port

    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        nonce = new_nonce()
        text = script(__package__, "listening_ports", nonce=nonce)
        try:
            output, status = _run(backend, ["sh", "-c", text], deadline)
        except ShellNotFound:
            return self._connects(backend, deadline)
        answers = re.findall(rf"<{nonce}> (\w+)", output)
        if status is None:
            raise MayHaveEnded
        if not answers or "unknown" in answers:
            return self._connects(backend, deadline) if answers else self._note([])
        return self._note(sorted({int(answer, 16) for answer in answers}))

    def _note(self, ports: list[int]) -> bool:
        self.seen = f"ports with a listener: {', '.join(map(str, ports)) or 'none'}"
        return self._port in ports

    def _connects(self, backend: Backend, deadline: Deadline) -> bool:
        """Without a shell or /proc: a connection. It cannot see who listens on a container's 127.0.0.1 only."""
        try:
            backend.connect_to_own(self._port, deadline.at_most(HTTP_TIME)).close()
        except ConnectError as error:
            self.seen = str(error)
            return False
        except DeadlineExpired:
            deadline.check()
            return False
        return True


class HttpAnswers(Condition):
    """A web server answers, with a status below 500."""

    def __init__(self, port: int, path: str) -> None:
        self.what = f"http :{port}{path}"
        self._port = port
        self._path = path

    def prepare(self, backend: Backend, deadline: Deadline) -> None:
        check_route(backend.connect_to_own, self._port, deadline)

    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        limit = deadline.at_most(HTTP_TIME)
        try:
            head = self._ask(backend.connect_to_own(self._port, limit), limit)
        except (ConnectError, OSError) as error:
            self.seen = str(error)
            return False
        except DeadlineExpired:
            deadline.check()
            self.seen = f"no answer within {HTTP_TIME:g} s"
            return False
        match = STATUS_LINE.match(head)
        self.seen = f"it answered {shorten(head.decode('utf-8', 'replace'), 60)!r}" if head else "it answered nothing"
        return match is not None and int(match[1]) < 500

    def _ask(self, stream: Stream, limit: Deadline) -> bytes:
        """Send a request, and return the first line of the answer."""
        request = (
            f"GET {self._path} HTTP/1.1\r\nHost: localhost:{self._port}\r\nAccept: */*\r\n"
            "User-Agent: otto-docker-sync\r\nConnection: close\r\n\r\n"
        ).encode()
        head = b""
        try:
            while request:
                limit.check()
                request = request[stream.send(request, WAIT_POLL) :]
            while b"\n" not in head and len(head) < 1024:
                limit.check()
                piece = stream.receive(1024, WAIT_POLL)
                if piece == b"":
                    break
                head += piece or b""
            return head.partition(b"\n")[0]
        finally:
            stream.shutdown()
            stream.close()


class LogShows(Condition):
    """A line of the container's own log, since its present start, matches."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.what = f"log {pattern.pattern!r}"
        self._regex = pattern

    def prepare(self, backend: Backend, deadline: Deadline) -> None:  # noqa: ARG002 (the base has it)
        backend.require_log()

    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        state = backend.host_state(deadline)
        # What an earlier start has printed says nothing of this one.
        since = None if state is None else state.began_at
        for line in backend.read_log(tail=None, since=since, follow=not self.once, deadline=deadline):
            if self._regex.search(line):
                return True
        if self.once:
            return False
        raise MayHaveEnded


class CommandSucceeds(Condition):
    """A command, run as a oneshot, has exit status 0."""

    def __init__(self, command: Command) -> None:
        self.what = f"command {shorten(command_text(command))!r}"
        self._command = command

    def holds(self, backend: Backend, deadline: Deadline) -> bool:
        output, status = _run(backend, self._command, deadline)
        if status is None:
            raise MayHaveEnded
        last = output.strip().rpartition("\n")[2]
        self.seen = f"exit status {status}" + (f", last line {shorten(last)!r}" if last else "")
        return status == 0


def conditions_of(
    host_id: str,
    *,
    healthy: bool,
    port: int | None,
    http: str | None,
    log: LogPattern | None,
    command: Command | None,
    check_is_required: bool = True,
) -> list[Condition]:
    """Check the arguments of `wait_for`, and return what they ask for. Raises `ConfigError`."""
    conditions: list[Condition] = [Healthy(required=check_is_required)] if healthy else []
    if port is not None:
        check_port(host_id, "port", port)
        conditions.append(PortListens(port))
    if http is not None:
        match = HTTP.fullmatch(http) if isinstance(http, str) else None
        if match is None:
            raise ConfigError(f"{host_id}: http={http!r}: pass a path such as '/health', or ':8080/health'")
        number = int(match[1]) if match[1] else port or 80
        check_port(host_id, "http", number)
        conditions.append(HttpAnswers(number, match[2]))
    if log is not None:
        conditions.append(LogShows(_compiled(host_id, log)))
    if command is not None:
        conditions.append(CommandSucceeds(command))
    if not conditions:
        raise ConfigError(f"{host_id}: wait_for: pass healthy=True, port=, http=, log= or command=")
    return conditions


def _compiled(host_id: str, pattern: Any) -> re.Pattern[str]:
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    if not isinstance(pattern, str):
        raise ConfigError(f"{host_id}: log={pattern!r}: pass a regular expression, as a string or compiled")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{host_id}: log={pattern!r} is not a valid regular expression: {error}") from None


def wait_until(runner: Runner, conditions: Sequence[Condition], patience: Patience) -> None:
    """Wait until each of the conditions has held once, one after the other; see `Host.wait_for`."""
    with runner.call(patience.deadline) as limit:
        try:
            _wait(runner.backend, conditions, limit, once=patience.once)
        except DeadlineExpired as late:
            runner.backend.guard.check()
            raise WaitTimedOut(str(late)) from None


def _wait(backend: Backend, conditions: Sequence[Condition], deadline: Deadline, *, once: bool) -> None:
    what, seen = "it", ""
    located = None
    try:
        located = backend.located(deadline, may_start=not once)
        state = located.host_state(deadline)
        restarts = 0 if state is None else state.restarts
        for condition in conditions:
            what, condition.once = condition.what, once
            _require_alive(located, condition, restarts, deadline)
            while not _look(condition, located, restarts, deadline):
                seen = condition.seen
                if once:
                    raise DeadlineExpired
                _pause(deadline.at_most(WAIT_POLL))
                deadline.check()
            seen = ""
    except DeadlineExpired as late:
        seen = seen or str(late)
        reason = deadline.cancelled or ("does not hold" if once else "did not hold in time")
        text = f"{backend.id}: {what} {reason}" + (f"; {seen}" if seen else "")
        # One that was not located yet would be looked for again, and its stack brought up.
        if located is not None and not deadline.cancelled:
            with suppress(OttoError, DeadlineExpired):
                limit = Deadline.grace(LOSS_PATIENCE)
                text += _describe(located, located.host_state(limit), limit)
        raise DeadlineExpired(text) from None


def _look(condition: Condition, backend: Backend, restarts: int, deadline: Deadline) -> bool:
    try:
        if not condition.prepared:
            condition.prepare(backend, deadline)
            condition.prepared = True
        return condition.holds(backend, deadline)
    except (MayHaveEnded, ContainerNotRunning, NoSuchContainer):
        _require_alive(backend, condition, restarts, deadline)
        return False


def _require_alive(backend: Backend, condition: Condition, restarts: int, deadline: Deadline) -> None:
    """Raise `ContainerNotRunning` when the container has ended, or is restarted again and again."""
    try:
        state = backend.host_state(deadline)
    except NoSuchContainer as error:
        raise ContainerNotRunning(f"{backend.id}: the container ended before {condition.what} held: {error}") from None
    if state is not None and _has_ended(state, restarts) and not condition.may_be_over(state):
        how = _describe(backend, state, Deadline.grace(DOCKER_TIME))
        raise ContainerNotRunning(f"{backend.id}: the container ended before {condition.what} held{how}")


def _has_ended(state: HostState, restarts: int) -> bool:
    if state.word == "restarting":
        return state.restarts - restarts >= MAX_RESTARTS
    return state.word not in ("running", "paused")


def _describe(backend: Backend, state: HostState | None, deadline: Deadline) -> str:
    """Return the end of a message: the state of the container and its last lines; '' for a machine."""
    if state is None:
        return ""
    lines = []
    with suppress(OttoError, DeadlineExpired):
        lines = list(backend.read_log(tail=SHOWN_COMPOSE, since=None, follow=False, deadline=deadline))
    shown = "; its last lines:\n" + "\n".join(lines) if lines else "; it has printed nothing"
    return f"; it is {state.text}{shown}"


def _run(backend: Backend, command: Command, deadline: Deadline) -> tuple[str, int | None]:
    """Run a command past the host's log: it is run many times. Returns its output and status."""
    capture = Capture(None, lambda _: None)
    outcome = run_oneshot(backend, command, deadline, capture)
    deadline.check()
    return capture.output.text(), outcome.retcode


def _pause(deadline: Deadline) -> None:
    woken = Signal()
    with deadline.waking(woken.set):
        if not deadline.expired:
            woken.wait(deadline.remaining())
