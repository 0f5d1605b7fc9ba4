"""A container as a kind of host: the backend of its parent, with ``docker exec`` in front."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from .._channel.backend import Backend, HostState, Lines, Program, Since
from .._channel.base import KILL_STATUS, NO_SESSION_STATUS, Channel
from .._channel.tcp import ForwardingForbidden, Stream
from ..deadline import Deadline, DeadlineExpired
from ..errors import ConnectError, ContainerNotRunning, NoSuchContainer, OttoError, UnsupportedParentError
from ..limits import DOCKER_POLL, REPORT_LINES
from ..locks import AbandonableLock
from ..logs import HostLog
from .address import AddressLookup
from .client import DockerClient
from .container_log import LogRequest, read_log
from .container_report import ContainerReport, last_lines, moment_of, read_state, seconds
from .container_variant import ContainerVariant
from .errors import docker_error
from .mounts import Mount, parse_mounts

# Docker's own keys, ^P^Q, belong to the program. An empty value would not switch them off.
DETACH_KEYS = "ctrl-@,ctrl-^,ctrl-@,ctrl-]"


class ContainerBackend(Backend):
    """A container on `parent`. Borrows the parent's connections; owns nothing.

    `container_id` is an id or a unique name; '' is found by the Compose labels of `compose_project` and `service`.
    `user` and `workdir` are options of ``docker exec``; None leaves them to the image.
    """

    def __init__(
        self,
        id: str,
        shell: str,
        log: HostLog,
        parent: Backend,
        container_id: str,
        *,
        compose_project: str,
        service: str,
        user: str | None,
        workdir: str | None,
        environment: Mapping[str, str],
        warm: int,
    ) -> None:
        super().__init__(id, shell, log)
        self.warm = warm
        self.parent = parent
        self.user = user
        self.workdir = workdir
        self.bring_up: Callable[[Deadline], str] | None = None
        """Brings the container's stack up and returns its id, '' if it does not; None where no lab knows how."""
        self.before_first_use: Callable[[Deadline], None] | None = None
        """Called before the container is looked for or brought up; None where nobody has to know."""
        self._given_id = container_id
        self._id = container_id
        self._compose_project = compose_project
        self._service = service
        self._environment = dict(environment)
        self._resolving = AbandonableLock()
        self._attempt = threading.local()
        self._client = DockerClient(parent, self._docker_error)
        self._addresses = AddressLookup(id, self._ask_address)

    # Starting programs

    def open_channel(self, program: Program, deadline: Deadline) -> Channel:
        return self.open_exec(program, self.user, self.workdir, deadline)

    def open_exec(self, program: Program, user: str | None, workdir: str | None, deadline: Deadline) -> Channel:
        """Start a program as `user` in `workdir`; otherwise as `open_channel`."""
        options = ["-it", "--detach-keys", DETACH_KEYS] if program.tty else ["-i"]
        for name, value in program.marker_env.items():
            options += ["-e", f"{name}={value}"]
        if user is not None:
            options += ["-u", user]
        if workdir is not None:
            options += ["-w", workdir]
        # Remembered for `recover`, which must not take an id that another thread has found since for a stale one.
        self._attempt.id = self.resolve(deadline)
        command = program.prefix(*self.parent.docker_command(), "exec", *options, self._attempt.id)
        return self.parent.open_channel(command, deadline)

    def run_as(self, user: str | None, workdir: str | None) -> Backend:
        if user is None and workdir is None:
            return self
        return ContainerVariant(self, self.user if user is None else user, self.workdir if workdir is None else workdir)

    def open_shell_as(self, owner: str, args: Sequence[str], *, deadline: Deadline) -> Channel | None:
        # The very user: root of a container may not look into the processes of its other users.
        command = [*self.parent.docker_command(), "exec", "-i", "-u", owner, self.resolve(deadline), "sh", *args]
        return self.parent.open_channel(Program(command), deadline)

    def connect_to(self, address: str, port: int, deadline: Deadline) -> Stream:  # noqa: ARG002 (the base has it)
        raise UnsupportedParentError(
            f"{self.id}: only ports of the container itself can be forwarded; forward that of {address} from its parent"
        )

    def connect_to_own(self, port: int, deadline: Deadline) -> Stream:
        return self.retry_once_recovered(lambda: self._connect_to_own(port, deadline), deadline)

    def _connect_to_own(self, port: int, deadline: Deadline) -> Stream:
        """Connect to the container's own address, from its parent."""
        self._attempt.id = self.resolve(deadline)
        network = self._addresses.find(self._attempt.id, deadline)
        if network.is_host:
            return self.parent.connect_to_own(port, deadline)
        try:
            return self.parent.connect_to(network.address, port, deadline)
        except ForwardingForbidden:
            raise
        except ConnectError as error:
            if "refused" in str(error):  # there is a route: only nobody listens on that port
                raise
            raise ConnectError(
                f"{self.id}: {self.parent.id} has no route to the container's address {network.address}, as with a"
                f" rootless daemon: publish the port, and forward that of {self.parent.id} ({error})"
            ) from error

    def environment(self) -> dict[str, str]:
        return self._environment

    def sessions_refusal(self) -> str:
        return self.parent.container_sessions_refusal()

    def file_fallback(self, deadline: Deadline) -> Any:
        from .._transfer import DockerCopy

        return DockerCopy(self.parent, self.resolve(deadline), deadline, user=self.user, workdir=self.workdir)

    # Which container

    @property
    def container_id(self) -> str:
        """The id or name in use; '' as long as it is not known."""
        return self._id

    def set_container_id(self, container_id: str) -> None:
        """Use this container from now on, also after the connections were rebuilt."""
        self._given_id = self._id = container_id

    def origin(self) -> str:
        return self._id

    def is_resolved(self) -> bool:
        return bool(self._id)

    def resolve(self, deadline: Deadline) -> str:
        """Return the id to use; found, or brought up, when it is not known yet.

        Raises `NoSuchContainer`, `DeadlineExpired`.
        """
        if not self._id:
            try:
                if not self._resolving.acquire(deadline):
                    raise DeadlineExpired
                # Another thread may have found it while this one waited.
                if not self._id and not self._find(deadline):
                    raise NoSuchContainer(
                        f"{self.id}: no container of the compose project {self._compose_project!r} runs the service "
                        f"{self._service!r} on {self.parent.id}; bring the stack up first: compose_up(), otto-docker up"
                    )
            finally:
                self._resolving.release()
        return self._id

    def recover(self, error: OttoError, deadline: Deadline) -> bool:
        if not isinstance(error, (NoSuchContainer, ContainerNotRunning)) or not self._compose_project:
            return False
        try:
            if not self._resolving.acquire(deadline):
                raise DeadlineExpired
            tried = getattr(self._attempt, "id", self._id)
            if self._id != tried:
                return True  # another thread has found the new one
            # Bringing a stack up starts a stopped container again, under the same id.
            return self._find(deadline) and (self._id != tried or isinstance(error, ContainerNotRunning))
        finally:
            self._resolving.release()

    def _find_current(self, deadline: Deadline) -> None:
        """Find the container that runs now, if one does; brings nothing up."""
        try:
            if not self._resolving.acquire(deadline):
                raise DeadlineExpired
            self._find(deadline, may_start=False)
        finally:
            self._resolving.release()

    def _find(self, deadline: Deadline, *, may_start: bool = True) -> bool:
        """Find the running container by its labels, or have the stack brought up. Returns whether there is one."""
        if self.before_first_use is not None:
            self.before_first_use(deadline)
        before, found = self._id, self._find_by_labels(deadline)
        if not found and may_start and self.bring_up is not None:
            found = self.bring_up(deadline)
        if found and found != before:
            self.log.event(f"the container is {found[:12]}" + (f" now; it was {before[:12]}" if before else ""))
        self._id = found or before
        return bool(found)

    def _find_by_labels(self, deadline: Deadline, *, stopped: bool = False) -> str:
        """Return the id of the container that Compose made for the service; '' if none runs."""
        if not self._compose_project:
            return ""
        return self._client.find(self._compose_project, self._service, deadline, stopped=stopped)

    # What it has printed

    def require_log(self) -> None:
        return

    def read_log(self, *, tail: int | None, since: Since, follow: bool, deadline: Deadline) -> Lines:
        wanted = LogRequest(tail, since, follow)
        known, has_begun = self._id, False
        try:
            for line in self._log_lines(known or self._find_any(deadline), wanted, deadline):
                has_begun = True
                yield line
        except NoSuchContainer:
            # One that Compose made may have been recreated meanwhile.
            if has_begun or not known or not self._compose_project:
                raise
            found = self._find_any(deadline)
            yield from self._log_lines(found, wanted, deadline)

    def report(self, started_at: float, deadline: Deadline) -> str:
        answers = self._client.ask("container_report", deadline, container=self._id)
        report = ContainerReport.parse(answers)
        since = moment_of(report, started_at)
        return report.text(
            last_lines(self.read_log(tail=REPORT_LINES + 1, since=since, follow=False, deadline=deadline))
        )

    def host_state(self, deadline: Deadline) -> HostState:
        answers = self._client.ask("container_status", deadline, container=self.resolve(deadline))
        return read_state(answers[0])

    def located(self, deadline: Deadline, *, may_start: bool = True) -> ContainerBackend:
        def find() -> None:
            self._attempt.id = self.resolve(deadline)
            self.host_state(deadline)

        # A container that was recreated is found again. One that has ended is not: it is for the caller to say so.
        if may_start:
            self.retry_once_recovered(find, deadline)
        elif self._compose_project:
            self._find_current(deadline)
        pinned = self.pinned(deadline)
        pinned.shell = self.shell
        pinned.guard = self.guard
        return pinned

    def pinned(self, deadline: Deadline) -> ContainerBackend:
        return ContainerBackend(
            self.id,
            "sh",
            self.log,
            self.parent,
            self._id or self._find_any(deadline),
            compose_project="",
            service=self._service,
            user=self.user,
            workdir=self.workdir,
            environment=self._environment,
            warm=0,
        )

    def _log_lines(self, container: str, wanted: LogRequest, deadline: Deadline) -> Lines:
        def explain(said: bytes, status: int | None) -> OttoError:
            return self._docker_error(said, status, failed="docker logs failed")

        return read_log(self.parent, container, wanted, deadline, explain)

    def _find_any(self, deadline: Deadline) -> str:
        """Return the id of the container that runs, or else of one that has run. Raises `NoSuchContainer`."""
        found = self._find_by_labels(deadline) or self._find_by_labels(deadline, stopped=True)
        if not found:
            raise NoSuchContainer(
                f"{self.id}: {self.parent.id} has no container of the compose project {self._compose_project!r} for "
                f"the service {self._service!r}, neither one that runs nor one that has ended"
            )
        return found

    # Trouble

    def startup_error(self, out: bytes, err: bytes, status: int | None, deadline: Deadline) -> OttoError:
        return self.exec_error(out, err, status, deadline, self.user, self.workdir)

    def exec_error(
        self, out: bytes, err: bytes, status: int | None, deadline: Deadline, user: str | None, workdir: str | None
    ) -> OttoError:
        """Return the `startup_error` of a program that was to start as `user` in `workdir`."""
        # A container that dies while docker starts a program in it: docker is killed, and has nothing to say.
        if status == KILL_STATUS and not (out + err).strip():
            reason = self.loss_reason_or_error(monotonic(), deadline)
            if reason:
                return ContainerNotRunning(f"{self.id}: {reason}")
        if status == NO_SESSION_STATUS and not (out + err).strip():
            return self.parent.startup_error(out, err, status, deadline)
        error = self._docker_error(out + b"\n" + err, status, user, workdir)
        if isinstance(error, ContainerNotRunning):
            # podman has the same words for a stopped and for a paused container.
            with suppress(OttoError, DeadlineExpired):
                if self.state(deadline)[0] == "paused":
                    return self._docker_error(b"the container is paused", status)
        return error

    def _docker_error(
        self, output: bytes, status: int | None, user: str | None = None, workdir: str | None = None, **words: str
    ) -> OttoError:
        program = self.parent.docker_command()[-1]
        return docker_error(self.id, self._id, self.shell, output, status, user, workdir, program, **words)

    def loss_reason(self, started_at: float, patience: float, deadline: Deadline) -> str:
        limit = Deadline.grace(patience)
        while True:
            # Taken before the question: the answer may take its time, in which the container grows no younger.
            asked_at = monotonic()
            state, age = self.state(deadline)
            if state == "paused":
                return f"the container is paused; {self.parent.docker_command()[-1]} unpause {self._id} lets it go on"
            if state != "running":
                return f"the container is not running any more (it is {state})"
            if age < asked_at - started_at:
                return "the container was restarted"
            if limit.expired or deadline.expired:
                return ""
            sleep(DOCKER_POLL)

    def state(self, deadline: Deadline) -> tuple[str, float]:
        """Return the container's state, as docker calls it, and the seconds since it was started.

        Brings nothing up: a container that is not known is "absent". Raises `NoSuchContainer`, `ConnectError`,
        `DockerUnavailable`, `DeadlineExpired`.
        """
        container = self._id or self._find_by_labels(deadline)
        if not container:
            return "absent", 0.0
        # Both moments are the parent's, whose clock may differ from ours.
        words = " ".join(self._client.ask("container_state", deadline, container=container)).split()
        state = words[0] if words else ""
        try:
            return state, seconds(words[2]) - seconds(words[1])
        except (ValueError, IndexError):
            return state, float("inf")

    def mounts(self, deadline: Deadline) -> list[Mount]:
        """Return what is mounted in the container, also in one that has ended. Raises as `state`."""
        container = self._id or self._find_any(deadline)
        return parse_mounts(self._client.ask("container_mounts", deadline, container=container))

    def _ask_address(self, container: str, deadline: Deadline) -> str:
        return " ".join(self._client.ask("container_address", deadline, container=container))

    # Life

    def close(self) -> None:
        # A container that Compose made may have been recreated meanwhile.
        if self._compose_project:
            self._id = self._given_id
