"""What a kind of host can do, as an object below sessions, oneshots and transfers.

A machine over SSH, a machine over telnet, this machine, a container: each is one subclass of `Backend`, and nothing
else in the library asks what kind a host is. A new kind needs `open_channel` only; all other methods have a default
that is right for a machine which is always there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, Union

from ..deadline import Cancellation, Deadline, DeadlineExpired
from ..errors import ConfigError, ConnectError, OttoError, UnsupportedParentError
from ..limits import LOSS_PATIENCE
from ..logs import HostLog
from ..secret import Secret
from .base import SIZE, Channel
from .tcp import Stream

T = TypeVar("T")


class HostState(NamedTuple):
    """How a host is that can end without its machine, as docker says it of a container."""

    word: str
    """Docker's: created, running, paused, restarting, removing, exited or dead."""
    exit_status: int
    restarts: int
    health: str
    """starting, healthy or unhealthy; '' where there is no health check."""
    probe: str
    """What the health check said last."""
    began_at: datetime | None
    """A moment between its end before the present start and that start; None if it was started once only."""
    text: str
    """All of it in words."""


Lines = Generator[str, None, None]
Since = Union[float, datetime, None]
"""Where a log begins: seconds before now, by the clock of the machine that has it, or a moment; None is all of it."""


@dataclass(frozen=True)
class Program:
    """What `Backend.open_channel` starts.

    >>> Program(["make", "test"]).prefix("docker", "exec", "-i", "web-1").argv
    ['docker', 'exec', '-i', 'web-1', 'make', 'test']
    """

    argv: Sequence[str]
    """Its name and its arguments. No part is ever interpreted by a shell."""
    marker_env: Mapping[str, str] = field(default_factory=dict)
    """Environment that everybody may see: nonces by which the process and its descendants are found again."""
    tty: bool = False
    """Whether it gets a terminal."""
    term: str = "dumb"
    """The type of that terminal."""
    size: tuple[int, int] = SIZE
    """Columns and rows of that terminal."""

    def prefix(self, *argv: str) -> Program:
        """Return the program `argv` that starts this one, on the same kind of terminal; without the markers."""
        return replace(self, argv=[*argv, *self.argv], marker_env={})

    def prefix_env(self) -> Program:
        """Return this program with ``env`` in front, which sets the markers where no environment is passed on."""
        if not self.marker_env:
            return self
        return self.prefix("env", *(f"{name}={value}" for name, value in self.marker_env.items()))


class Guard:
    """What a host asks before a verb begins, and while one runs. This one lets everything pass.

    A lab puts another one in its place, which knows the reservations.
    """

    def enter(self) -> Sequence[Cancellation]:
        """Return what may interrupt a verb that begins now. Raises `ReservationError` when it may not begin."""
        return ()

    def check(self) -> None:
        """Raise `ReservationLost` when a verb that runs is interrupted, because its reservation was lost."""

    def marker_env(self) -> dict[str, str]:
        """Environment of all that is started now, by which a later holder finds it again."""
        return {}


class Backend(ABC):
    """One host, as everything below the faces sees it. Any thread may call any method.

    ``id`` names the host in errors and logs, ``shell`` is the user's, in which commands run, ``log`` is the host's log,
    and ``guard`` is asked before each verb. ``sudo_password`` is the answer when sudo asks; with None it must not ask.

    >>> class Chroot(Backend):
    ...     def open_channel(self, program, deadline):
    ...         return self.parent.open_channel(program.prefix("chroot", "/srv/image"), deadline)
    """

    def __init__(self, id: str, shell: str, log: HostLog) -> None:
        if not shell or "\0" in shell:
            raise ConfigError(f"{id}: shell={shell!r}: pass the name or path of a POSIX shell, such as 'sh'")
        self.id = id
        self.shell = shell
        self.log = log
        self.guard = Guard()
        self.sudo_password: Secret = None
        self.warm = 0
        """How many spare shells may wait for a oneshot."""

    # Starting programs

    @abstractmethod
    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        """Start a program on this host, and return when its channel is open: no proof that the program runs.

        Raises `ConnectError` and its subclasses, `DeadlineExpired`.
        """

    def open_shell(
        self,
        args: Sequence[str],
        *,
        marker_env: Mapping[str, str] | None = None,
        tty: bool = False,
        deadline: Deadline,
        size: tuple[int, int] = SIZE,
    ) -> Channel:
        """Start ``sh`` with `args`, for a script of ours; the rest is said of `Program` and `open_channel`.

        Not the user's shell: that may be one which reads our scripts differently.
        """
        return self.open_channel(Program(["sh", *args], marker_env or {}, tty=tty, size=size), deadline)

    def run_as(self, user: str | None, workdir: str | None) -> Backend:
        """Return this host for a call that names another user, or another directory; None leaves each as it is.

        Whether they exist shows when a program is started: `startup_error` of what is returned says so.
        """
        from .variant import MachineVariant  # it builds on this module

        return self if user is None and workdir is None else MachineVariant(self, user, workdir, self.sudo_password)

    def open_shell_as(self, owner: str, args: Sequence[str], *, deadline: Deadline) -> Channel | None:
        """Start ``sh`` with `args` as a user who may end the processes of `owner`, given as ``UID:GID``.

        None where no way to become one is known. Here it is the way of the docker client, if that is started by sudo.
        """
        try:
            words = self.docker_command()
        except ConfigError:
            return None
        if words[0].rpartition("/")[2] not in ("sudo", "doas"):
            return None
        # The client is the first word that is neither that, nor an option of it.
        client = next((at for at, word in enumerate(words) if at and not word.startswith("-")), len(words))
        return self.open_channel(Program([*words[:client], "sh", *args]), deadline)

    def login_argv(self) -> list[str]:
        """What a person gets on a terminal."""
        return [self.shell]

    def open_login(self, *, term: str, size: tuple[int, int], deadline: Deadline) -> Channel | None:
        """Start what a user gets who logs in from elsewhere, with what the server shows then; None on other hosts.

        What runs in it ends as it does when that user's line drops.
        """
        return None

    def environment(self) -> dict[str, str]:
        """Environment of every command. It may hold secrets, so it travels as input and never as an argument."""
        return {}

    # Connections from this host

    def connect_to(self, address: str, port: int, deadline: Deadline) -> Stream:
        """Connect from this host to a TCP port that it reaches, and return the stream.

        Raises `ConnectError` and its subclasses, `UnsupportedParentError` where this kind cannot.
        """
        raise UnsupportedParentError(
            f"{self.id}: no connection can be forwarded from here; that needs a host reached over SSH, or this machine"
        )

    def connect_to_socket(self, path: str, deadline: Deadline) -> Stream:
        """Connect to a unix socket of this host; otherwise as `connect_to`."""
        return self.connect_to(path, 0, deadline)

    def connect_to_own(self, port: int, deadline: Deadline) -> Stream:
        """Connect to a TCP port of this host itself; otherwise as `connect_to`."""
        return self.connect_to("localhost", port, deadline)

    # What this kind has, and has not

    def sessions_refusal(self) -> str:
        """Why this host can have no sessions; empty when it can."""
        return ""

    def require_sessions(self) -> None:
        """Raise `UnsupportedParentError` on a host that can have no sessions."""
        if reason := self.sessions_refusal():
            raise UnsupportedParentError(f"{self.id}: {reason}; oneshot() works here, and so do put() and get()")

    def container_sessions_refusal(self) -> str:
        """Why containers of this host can have no sessions; empty when they can."""
        return f"a shell in a container needs a parent reached over SSH; its parent {self.id!r} is not"

    def docker_command(self) -> tuple[str, ...]:
        """How the docker client is called on this host. Raises `ConfigError` for a host that runs no containers."""
        raise ConfigError(
            f"{self.id} does not run containers: it is not docker_capable; name another host (on=, default_host)"
        )

    def file_fallback(self, deadline: Deadline) -> Any:
        """Return a `FallbackTransport`, which carries files if the host's shell lacks the tools; None if there is none.

        The type stands with the transfers, which are above this module.
        """
        return None

    def require_log(self) -> None:
        """Raise `ConfigError` on a host that prints nothing itself, as machines do not."""
        raise ConfigError(
            f"{self.id}: a machine has no log of its own; read one with oneshot(), as in oneshot('journalctl -n 50')"
        )

    def read_log(self, *, tail: int | None, since: Since, follow: bool, deadline: Deadline) -> Lines:
        """The lines that the host itself has printed; to be asked for after `require_log`.

        `since` is in seconds before now, or a moment. With `follow`, lines come until the host ends, or the iterator is
        closed. Raises `NoSuchContainer`, `ConnectError` and its subclasses, `DockerUnavailable`, `DeadlineExpired`.
        """
        yield from ()

    def host_state(self, deadline: Deadline) -> HostState | None:
        """How the host itself is; None for a machine, which runs as long as it answers. Raises as `read_log`."""
        return None

    def located(self, deadline: Deadline, *, may_start: bool = True) -> Backend:
        """As `pinned`, for calls of a user: the host is found first, and brought up if it `may_start`."""
        return self

    # For reports of tests

    def report(self, started_at: float, deadline: Deadline) -> str:
        """Say how the host itself is, and what it has printed since `started_at` (monotonic); '' for a machine.

        To be asked of a `pinned` one. Raises as `read_log`.
        """
        return ""

    def pinned(self, deadline: Deadline) -> Backend:
        """Return a backend of the same host as it is now: it never looks for another one, nor brings anything up.

        Raises `NoSuchContainer`, and what keeps docker from being asked, for a container that is not known yet.
        """
        return self

    # Trouble

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        """Return the error that says why a shell did not start.

        `out` and `err` are what came instead of the shell's first words, `status` how its channel ended.
        """
        text = (out + b"\n" + err).decode("utf-8", "replace").strip()[-2000:] or "it said nothing"
        return ConnectError(f"{self.id}: the shell {self.shell!r} did not start (status {status}): {text}")

    def loss_reason(self, started_at: float, patience: float, deadline: Deadline) -> str:
        """Return why the host died after `started_at` (monotonic seconds), or '' if it is alive.

        Keeps asking for `patience` seconds, because a death may be known late. Raises what keeps it from asking.
        """
        return ""

    def loss_reason_or_error(self, started_at: float, deadline: Deadline) -> str:
        """As `loss_reason`, with LOSS_PATIENCE; what keeps it from asking is a reason, too. Does not raise."""
        try:
            return self.loss_reason(started_at, LOSS_PATIENCE, deadline)
        except (OttoError, DeadlineExpired) as error:
            return str(error)

    def recover(self, error: OttoError, deadline: Deadline) -> bool:
        """Try to make the host usable again: find the new container, bring the stack up.

        Returns whether starting again makes sense after `error`. Never called once anything has run.
        """
        return False

    def retry_once_recovered(self, attempt: Callable[[], T], deadline: Deadline) -> T:
        """Make an attempt to start something, and one more if the host could be recovered.

        `attempt` raises only as long as nothing has run, so no command is ever run twice.
        """
        try:
            return attempt()
        except OttoError as error:
            if not self.recover(error, deadline):
                raise
            return attempt()

    # Life

    def origin(self) -> str:
        """Return what a shell that was started now is a part of: a container's id. It may be another one later."""
        return ""

    def is_resolved(self) -> bool:
        """Whether `open_channel` knows where to go, and would not search, nor bring anything up."""
        return True

    def close(self) -> None:
        """Let go of the connections that this host owns. Idempotent; the next channel connects again."""
        return
