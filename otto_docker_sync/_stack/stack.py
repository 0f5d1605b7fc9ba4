"""One Compose stack on one parent."""

from __future__ import annotations

import logging
import math
import posixpath
import shlex
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from .._channel.base import Channel, Chunk
from .._channel.markers import new_nonce
from .._docker.errors import docker_error
from .._shell.matcher import TextStream
from .._transfer import transfer
from ..deadline import Deadline, DeadlineExpired, cancellation
from ..errors import ComposeError, ConnectionLost
from ..host import Host
from ..result import Status
from . import scripts as stack_scripts
from .compose_files import ComposeDirectory

T = TypeVar("T")
Lines = Generator[str, None, None]

logger = logging.getLogger("otto_docker_sync.compose")

SHOWN_LINES = 20
"""Lines of Compose's own that an error ends with."""
ROLLBACK_TIME = 60.0
LEAVE_TIME = 10.0
"""Seconds that taking down what a call in vain has started, and giving up a lease, may take."""


@dataclass(frozen=True)
class StackContainer:
    """One container of a stack, as ``docker ps`` on the parent shows it."""

    container_id: str
    compose_project: str
    compose_service: str
    number: int
    name: str
    image: str
    status: str

    @property
    def service(self) -> str:
        """How a lab addresses it: ``api``, and ``api#2`` for the second replica."""
        return self.compose_service if self.number == 1 else f"{self.compose_service}#{self.number}"


@dataclass
class Told:
    """What a script said, beside the output of what it called."""

    said: list[tuple[str, str, int]] = field(default_factory=list)
    """Word, what followed it, and how many lines of others were there before."""
    other: list[str] = field(default_factory=list)

    def __contains__(self, word: str) -> bool:
        return any(said == word for said, *_ in self.said)

    def all(self, word: str) -> list[str]:
        return [text for said, text, _ in self.said if said == word]

    def since(self, word: str) -> list[str]:
        """The lines of others after it."""
        return self.other[next(at for said, _, at in self.said if said == word) :]

    def first(self, word: str) -> str:
        return next(iter(self.all(word)), "")


class OutOfTime(DeadlineExpired):
    """A script was cut off, after it had told so much."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told


class Compose(NamedTuple):
    """How Compose is called on a parent, and the options of its ``up`` that keep it from building and pulling."""

    command: list[str]
    start_only: str


class Stack:
    """The containers of one compose project on one parent. Holds nothing; any thread may use it.

    Only the parent's own verbs are used, so it may be reached in any way. All state is on the parent: see
    `stack_scripts`.
    """

    _compose_of: ClassVar[WeakKeyDictionary[Host, Compose]] = WeakKeyDictionary()

    def __init__(self, parent: Host, compose_project: str) -> None:
        self.parent = parent
        self.compose_project = compose_project
        self._docker = parent.backend.docker_command()

    def __str__(self) -> str:
        return f"stack {self.compose_project} on {self.parent.id}"

    def up(
        self,
        directory: ComposeDirectory,
        services: Iterable[str],
        deadline: Deadline,
        *,
        build: bool,
        keep: bool = False,
        ensure: str = "",
    ) -> list[StackContainer]:
        """Bring the stack up and return the containers that run, those of `services` among them.

        ``keep``: it outlives the runs that share it. ``ensure``: nothing is done when this service runs already.
        Raises `ComposeError`, after what was not up before has been taken down.
        """
        compose = self._compose(deadline)
        options = "--build" if build else compose.start_only
        with tempfile.TemporaryDirectory(prefix="otto-docker-") as scratch:
            packed = Path(scratch) / "packed"
            digest = directory.pack(packed)
            archive = packed.rename(packed.with_name(f"{digest}.tgz"))
            logger.info("%s: up", self)
            told = Told([("again", "", 0)])
            while "again" in told:
                self._ship(archive, digest, deadline)
                try:
                    told = self._call(
                        stack_scripts.UP,
                        deadline,
                        "docker compose up",
                        digest=digest,
                        options=options,
                        keep=': >"$d/kept"' if keep else "",
                        ensure=_replica(ensure),
                        services=" ".join(map(_replica, services)),
                        replica=stack_scripts.REPLICA,
                        tail=SHOWN_LINES,
                    )
                except OutOfTime as late:
                    if "fresh" in late.told and not ensure:
                        uncancelled(lambda: self.down(Deadline.grace(ROLLBACK_TIME), if_last=True, settle=True))
                    raise
        if "lost" in told:
            service = told.first("lost").removesuffix("#1")
            state = told.first("state") or "there is no such container"
            raise ComposeError(
                f"{self}: {service} does not run after docker compose up: {state}.\n{_tail(told.since('lost'))}"
            )
        return _containers(told)

    def _ship(self, archive: Path, digest: str, deadline: Deadline) -> None:
        """Put the archive into the stack's private directory, unless what it holds is there."""
        told = self._call(stack_scripts.PREPARE, deadline, "preparing a directory")
        if told.first("digest") != digest:
            place = told.first("place")
            result = transfer.put(self.parent.backend, archive, place, mode=0o600, progress=None, deadline=deadline)
            if not result.ok:
                deadline.check()
                result.check()

    def down(
        self,
        deadline: Deadline,
        *,
        stop_timeout: int = 1,
        volumes: bool = False,
        if_last: bool = False,
        settle: bool = False,
    ) -> bool:
        """Take the stack down, and its directory away. Whether it was: ``if_last`` leaves it to those that use it.

        ``settle``: a Compose that was cut off may have left work behind.
        """
        script = stack_scripts.LEAVE if if_last else stack_scripts.DOWN
        logger.info("%s: %s", self, "leave" if if_last else "down")
        told = self._call(
            script,
            deadline,
            "docker compose down",
            stop_timeout=stop_timeout,
            volumes="--volumes" if volumes else "",
            settle="settle" if settle else "",
        )
        if "left" in told:
            logger.warning(
                "%s: %s holds files that containers wrote as another user; remove it there", self, told.first("left")
            )
        return not ("kept" in told or "shared" in told)

    def containers(self, deadline: Deadline) -> list[StackContainer]:
        """Those that run, in the order of services and numbers. Never stopped or one-off ones."""
        return _containers(self._call("shown\n", deadline, "docker ps"))

    def lease(self, deadline: Deadline) -> Lease:
        """Hold the stack: until the lease ends, nobody's leaving takes it down."""
        return Lease(*self._start(stack_scripts.LEASE, deadline), deadline)

    def logs(self, service: str | None, *, follow: bool, tail: int | None, deadline: Deadline) -> Lines:
        """The lines that its containers wrote; with `follow`, until these end or the iterator is closed."""
        options = [*(["--follow"] if follow else []), *([f"--tail={tail}"] if tail is not None else [])]
        if service is not None:
            options.append(service)
        channel, nonce = self._start(stack_scripts.LOGS, deadline, options=shlex.join(options))
        stream, text = TextStream(newlines=True), ""
        try:
            while not (chunk := channel.read(deadline)).ended:
                *lines, text = (text + stream.feed(chunk.out)).split("\n")
                if f"<{nonce}> down" in lines:
                    raise ComposeError(f"{self} is not up")
                yield from (line for line in lines if not line.startswith("Attaching to "))  # version 1 says so
            if text:
                yield text
        finally:
            with suppress(ConnectionLost):
                channel.write_some(b"end\n")
            channel.close()

    def _compose(self, deadline: Deadline) -> Compose:
        """How Compose is called there: the plugin, or the older program of its own where there is no plugin."""
        known = self._compose_of.get(self.parent)
        if known is None:
            old = [*self._docker[:-1], f"{posixpath.basename(self._docker[-1])}-compose"]
            told = self._call(
                stack_scripts.FIND_COMPOSE, deadline, "looking for Docker Compose", docker_compose=shlex.join(old)
            )
            if "no-docker" in told:
                said = _tail(told.other).encode()
                raise docker_error(self.parent.id, "", "", said, None, None, None)
            if "compose" not in told:
                raise ComposeError(
                    f"{self.parent.id} has no Docker Compose: neither {shlex.join([*self._docker, 'compose'])} nor "
                    f"{shlex.join(old)} works there; install the package docker-compose-plugin"
                )
            command = [*self._docker, "compose"] if told.first("compose") == "2" else old
            known = Compose(command, "--no-build --pull never" if "pull" in told else "--no-build")
            self._compose_of[self.parent] = known
        return known

    def _script(self, body: str, nonce: str, values: dict[str, object]) -> str:
        known = self._compose_of.get(self.parent)
        common: dict[str, object] = {"stop_timeout": 1, "volumes": "", **values}
        return (stack_scripts.PRELUDE + body).format(
            project=self.compose_project,
            nonce=nonce,
            docker=shlex.join(self._docker),
            compose=shlex.join(known.command) if known else "exit",
            row=stack_scripts.ROW,
            **common,
        )

    def _call(self, body: str, deadline: Deadline, what: str, **values: object) -> Told:
        """Run a script there. Raises `ComposeError` with its last lines, `DeadlineExpired` when the time is spent."""
        nonce = new_nonce()
        remaining = deadline.remaining()
        # Not None for "no end", which stands for the parent's own default.
        seconds = math.inf if remaining is None else remaining
        result = self.parent.oneshot(self._script(body, nonce, values), timeout=seconds, log=False)
        told = _told(result.output.replace("\r\n", "\n"), f"<{nonce}> ")
        if result.ok:
            return told
        if result.timed_out or deadline.cancelled:
            raise OutOfTime(told)
        if result.status is Status.ERROR:
            raise ComposeError(f"{self}: {what}: {result.message}")
        raise ComposeError(f"{self}: {what} failed with status {result.retcode}:\n{_tail(told.other)}")

    def _start(self, body: str, deadline: Deadline, **values: object) -> tuple[Channel, str]:
        nonce = new_nonce()
        self._compose(deadline)
        script = self._script(body, nonce, values)
        return self.parent.backend.open_shell(["-c", script], deadline=deadline), nonce


class Lease:
    """A hold on a stack: a lock that a process on the parent has for as long as our channel to it lives.

    It ends when it is released, when our process dies, and when the connection to the parent is lost.
    """

    def __init__(self, channel: Channel, nonce: str, deadline: Deadline) -> None:
        self._channel = channel
        output = _Tagged(nonce)
        try:
            while "held" not in output.told():
                chunk = channel.read(deadline)
                if chunk.ended:
                    raise ComposeError(f"the stack could not be held:\n{_tail(output.told().other)}")
                output.add(chunk)
        except BaseException:
            channel.close()
            raise

    def release(self) -> None:
        """End the hold, and wait until the parent knows. Does not raise: what is lost is released."""
        deadline = Deadline.grace(LEAVE_TIME)
        with suppress(DeadlineExpired, ConnectionLost):
            self._channel.write(b"end\n", deadline)
            while not self._channel.read(deadline).ended:
                pass
        self._channel.close()


class _Tagged:
    """Tells what a script said from the output of what it called."""

    def __init__(self, nonce: str) -> None:
        self._mark = f"<{nonce}> "
        self._text = ""
        self._streams = TextStream(newlines=True), TextStream(newlines=True)

    def add(self, chunk: Chunk) -> None:
        self._text += self._streams[0].feed(chunk.out) + self._streams[1].feed(chunk.err)

    def told(self) -> Told:
        return _told(self._text, self._mark)


def _told(text: str, mark: str) -> Told:
    told = Told()
    for line in text.splitlines():
        if line.startswith(mark):
            word, _, rest = line[len(mark) :].partition(" ")
            told.said.append((word, rest, len(told.other)))
        elif line.strip():
            told.other.append(line)
    return told


def _tail(lines: list[str]) -> str:
    return "\n".join(lines[-SHOWN_LINES:]) or "it said nothing"


def _containers(told: Told) -> list[StackContainer]:
    return sorted(map(container_of_row, told.all("container")), key=lambda each: (each.compose_service, each.number))


def container_of_row(row: str) -> StackContainer:
    """Read a line of ``docker ps`` in the format of `stack_scripts.ROW`."""
    container_id, project, service, number, name, image, status = row.split("\t")
    return StackContainer(container_id, project, service, int(number or 1), name, image, status)


def _replica(service: str) -> str:
    return service if "#" in service or not service else f"{service}#1"


def uncancelled(call: Callable[[], T]) -> T:
    """Call what has to be done also after the calls of this context were cancelled."""
    context = copy_context()
    context.run(cancellation.set, None)
    return context.run(call)
