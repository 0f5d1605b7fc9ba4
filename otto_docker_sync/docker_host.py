"""A container on a parent host, as a host."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, sleep

from ._channel.base import KILL_STATUS, SIZE, Channel
from ._docker.errors import docker_error
from ._shell.capture import Capture
from ._shell.oneshot import run_oneshot
from .deadline import Deadline, DeadlineExpired, Timeout
from .errors import ConfigError, ConnectError, ContainerNotRunning, NoSuchContainer, OttoError
from .host import Host
from .unix_host import UnixHost

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*(#[1-9][0-9]*)?\Z")
USER = re.compile(r"[a-zA-Z0-9_.][a-zA-Z0-9_.-]*(:[a-zA-Z0-9_.][a-zA-Z0-9_.-]*)?\Z")
VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")

LOOK_AGAIN = 0.1
"""Seconds between two questions to docker."""

# Docker's own keys, ^P^Q, belong to the program. An empty value would not switch them off.
DETACH_KEYS = "ctrl-@,ctrl-^,ctrl-@,ctrl-]"


@dataclass(eq=False)
class DockerContainerHost(Host):
    """A container, reached through the docker client of its parent. Borrows the parent's connections.

    `container_id` is an id or a unique name; ``""`` means declared, not yet resolved: it is then found by the Compose
    labels of `compose_project` and `service` (``api``, or ``api#2`` for the second replica). `user`, `workdir` and
    `env` are those of the commands; `env` travels as input, so its values show in no process list. `resources` are
    reservation tags. `default_timeout`, in seconds, is for commands without a ``timeout``.

    >>> web = DockerContainerHost(UnixHost("lab1"), "web-1", project="shop", service="web", compose_project="shop")
    >>> web.run("cat /etc/os-release").output
    """

    parent: Host
    container_id: str
    project: str
    service: str
    compose_project: str
    log: bool = True
    log_stdout: bool = True
    resources: set[str] = field(default_factory=set)
    shell: str = field(default="sh", kw_only=True)
    user: str | None = field(default=None, kw_only=True)
    workdir: str | None = field(default=None, kw_only=True)
    env: Mapping[str, str] | None = field(default=None, kw_only=True, repr=False)
    warm: int = field(default=0, kw_only=True)
    default_timeout: Timeout = field(default=None, kw_only=True)

    is_virtual = True

    def __post_init__(self) -> None:
        if not isinstance(self.parent, Host) or self.parent.is_virtual:
            raise ConfigError(f"parent={self.parent!r}: give the host that runs the docker daemon")
        _require(NAME, "container_id", self.container_id, optional=True)
        _require(NAME, "project", self.project)
        _require(SERVICE, "service", self.service)
        _require(NAME, "compose_project", self.compose_project, optional=True)
        _require(USER, "user", self.user, optional=True)
        if self.workdir is not None and (not self.workdir or "\0" in self.workdir):
            raise ConfigError(f"workdir={self.workdir!r}: give a path in the container, or None")
        if self.warm != 0:
            raise ConfigError("warm: not available yet; leave it at 0")
        for name, value in (self.env or {}).items():
            _require(VARIABLE, "a name in env", name)
            if not isinstance(value, str) or "\0" in value:
                raise ConfigError(f"env: the value of {name} is no text that a shell can take")
        self.env = dict(self.env or {})
        self.id = f"{self.parent.id}.{self.project}.{self.service}".lower()
        self.name = f"{self.parent.id}:{self.service}"
        self._resolved = self.container_id
        self._resolving = threading.RLock()
        self._tried = threading.local()
        self._bring_up: Callable[[DockerContainerHost, Deadline], str] | None = None
        self._init()

    # What a kind supplies

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
        options = ["-it", "--detach-keys", DETACH_KEYS] if tty else ["-i"]
        for name, value in (tags or {}).items():
            options += ["-e", f"{name}={value}"]
        if self.user is not None:
            options += ["-u", self.user]
        if self.workdir is not None:
            options += ["-w", self.workdir]
        self._tried.id = self._target(deadline)
        command = [*self._docker(), "exec", *options, self._tried.id, *argv]
        return self.parent._open_channel(command, tty=tty, deadline=deadline, term=term, size=size)

    def _docker(self) -> tuple[str, ...]:
        """What starts the docker client on the parent. Raises `ConfigError` when the parent must not be asked."""
        if not getattr(self.parent, "docker_capable", True):
            raise ConfigError(f"{self.id}: the parent {self.parent.id} is marked docker_capable=False")
        return tuple(getattr(self.parent, "docker_command", ("docker",)))

    def _sessions_refused(self) -> str:
        if isinstance(self.parent, UnixHost) and self.parent.term == "ssh":
            return ""
        return f"a shell in a container needs a parent reached over SSH, and {self.parent!r} is none"

    def _environment(self) -> dict[str, str]:
        return dict(self.env or {})

    def _explain(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        if status == KILL_STATUS and not (out + err).strip() and (what := self._obituary(monotonic(), deadline)):
            return ContainerNotRunning(f"{self.id}: {what}")
        return self._docker_error(out + b"\n" + err, status)

    def _docker_error(self, said: bytes, status: int | None) -> OttoError:
        return docker_error(self.id, self._resolved, self.shell, said, status, self.user, self.workdir)

    def _died(self, started_at: float, patience: float, deadline: Deadline) -> str:
        last_look = Deadline.grace(patience)
        while True:
            asked = monotonic()  # the answer may take its time, in which the container grows no younger
            state, age = self._state_now(deadline)
            if state == "paused":
                return f"the container is paused; docker unpause {self._resolved} lets it go on"
            if state != "running":
                return f"the container is not running any more (it is {state})"
            if age < asked - started_at:
                return "the container was restarted"
            if last_look.expired or deadline.expired:
                return ""
            sleep(LOOK_AGAIN)

    def _located(self) -> bool:
        return bool(self._resolved)

    # Which container

    def _target(self, deadline: Deadline) -> str:
        """The id to use; found, or brought up, when it is not known yet."""
        if not self._resolved:
            if not deadline.acquire(self._resolving):
                raise DeadlineExpired
            try:
                if not self._resolved and not self._find(deadline):
                    raise NoSuchContainer(
                        f"{self.id}: no container of the compose project {self.compose_project!r} runs the service "
                        f"{self.service!r} on {self.parent.id}; bring the stack up first: compose_up(), otto-docker up"
                    )
            finally:
                self._resolving.release()
        return self._resolved

    def _revive(self, error: OttoError, deadline: Deadline) -> bool:
        if not isinstance(error, (NoSuchContainer, ContainerNotRunning)) or not self.compose_project:
            return False
        with self._resolving:
            tried = getattr(self._tried, "id", self._resolved)  # by this thread: another may have found the new one
            if self._resolved != tried:
                return True
            # Bringing a stack up starts a stopped container again, under the same id.
            return self._find(deadline) and (self._resolved != tried or isinstance(error, ContainerNotRunning))

    def _find(self, deadline: Deadline) -> bool:
        """Find the running container by its labels, or have the stack brought up. Whether there is one now."""
        before, found = self._resolved, self._find_by_labels(deadline)
        if not found and self._bring_up is not None:
            found = self._bring_up(self, deadline)
        if found and found != before:
            self._log.event(f"the container is {found[:12]}" + (f" now; it was {before[:12]}" if before else ""))
        self._resolved = found or before
        return bool(found)

    def _find_by_labels(self, deadline: Deadline) -> str:
        if not self.compose_project:
            return ""
        service, _, number = self.service.partition("#")
        labels = {"project": self.compose_project, "service": service, "container-number": number or "1"}
        args = ["ps", "-q", "--no-trunc", "--filter", "status=running"]
        for name, value in {**labels, "oneoff": "False"}.items():
            args += ["--filter", f"label=com.docker.compose.{name}={value}"]
        out = self._ask_docker(args, "", deadline)
        return (out.split() or [""])[0]

    def _state_now(self, deadline: Deadline) -> tuple[str, float]:
        """The container's state, and the seconds since it was started, by the parent's clock."""
        target = self._resolved or self._find_by_labels(deadline)
        if not target:
            return "absent", 0.0
        form = "{{.State.Status}} {{.State.StartedAt}}"
        inspect = ["inspect", "-f", form, "--type", "container", target]
        out = self._ask_docker(inspect, "; date -u '+%FT%T.%N'", deadline)
        state, started, now = [*out.split(), "", "", ""][:3]
        try:
            return state, _moment(now) - _moment(started)
        except ValueError:
            return state, float("inf")

    def _ask_docker(self, args: Sequence[str], then: str, deadline: Deadline) -> str:
        """What the docker client prints; `then` is shell text to run behind it, if it succeeds.

        Raises the error that its message stands for.
        """
        command = shlex.join([*self._docker(), *args])
        capture = Capture(None, lambda _: None)
        outcome = run_oneshot(self.parent, f"{command} || exit{then}", deadline.at_most(30), capture)
        out, err = (stream.text() for stream in capture.streams) if capture.apart else (capture.output.text(), "")
        if outcome.retcode is None:
            raise ConnectError(f"{self.parent.id}: {shlex.join(args[:2])}: {outcome.message}")
        if outcome.retcode != 0:
            raise self._docker_error(f"{out}\n{err}".encode(), outcome.retcode)
        return out

    # Verbs that differ

    def is_running(self) -> bool:
        """Whether the container runs now. Starts nothing, brings no stack up.

        Raises when nobody can tell: `ConnectError`, `DockerUnavailable`.

        >>> web.is_running()
        True
        """
        try:
            return self._state_now(self._deadline(30.0))[0] == "running"
        except NoSuchContainer:
            return False
        except DeadlineExpired:
            raise ConnectError(f"{self.id}: {self.parent.id} did not tell the container's state in time") from None

    def _close_link(self) -> None:
        if self.compose_project:
            self._resolved = self.container_id


def _moment(text: str) -> float:
    """Seconds, from a date and time in UTC; some ``date`` programs know no fraction."""
    match = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?", text)
    if match is None:
        raise ValueError(text)
    return datetime.fromisoformat(match[1] + "+00:00").timestamp() + float(match[2] or 0)


def _require(pattern: re.Pattern[str], what: str, value: object, optional: bool = False) -> None:
    if optional and (value is None or value == ""):
        return
    if not isinstance(value, str) or not pattern.match(value):
        raise ConfigError(f"{what}={value!r}: only letters, digits, '_', '.' and '-' can be part of it")
