"""A stack of Docker Compose as users see it: brought up and down, a mapping of its services to hosts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from .._verbs import Condition, Healthy, LogPattern, Patience, conditions_of
from ..arguments import check_count
from ..deadline import Deadline, DeadlineExpired, Timeout, shielded
from ..docker_host import DockerContainerHost
from ..errors import ComposeError, ConfigError, OttoError
from ..limits import DOWN_TIME, READY_TIME
from ..project import Project, did_you_mean
from ..result import Command
from .containers import StackContainer
from .hosts import StackHosts
from .project_files import ProjectFiles
from .ready import wait_for_all
from .remote import Lines, RemoteStack

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("otto_docker_sync.compose")


class Stack(Mapping[str, DockerContainerHost]):
    """One stack of a project: a mapping of its services to hosts (``api``, and ``api#2`` for a further replica).

    Made by `Lab.stack`; making one contacts nothing. It maps what ran when it was brought up, or else the project's
    declared services. As a context manager it is what `composed` is: up inside the block, shared with other runs, and
    taken down by the last that leaves. Any thread may call any verb.

    >>> with lab.stack("repo1") as stack:
    ...     stack["api"].run("make test").check()
    """

    def __init__(self, project: Project, remote: RemoteStack, hosts: StackHosts) -> None:
        self.project = project
        self.parent = remote.parent
        self.compose_project = remote.compose_project
        self._remote = remote
        self._hosts = hosts
        self._blocks: list[AbstractContextManager[Self]] = []
        self._services = {host.service: host for host in hosts.containers_of(remote)}

    def __repr__(self) -> str:
        return f"<Stack {self.compose_project} on {self.parent.id}: {', '.join(self) or 'no services'}>"

    def __getitem__(self, service: str) -> DockerContainerHost:
        return self._services[service]

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def up(self, *, build: bool = True, wait: bool = False, timeout: Timeout = None) -> Self:
        """Bring the stack up, and return it. What is up already and unchanged is left alone.

        `build` builds images first, and lets missing ones be pulled. `wait` waits until all services that have a health
        check are healthy, a minute at most where there is no `timeout`. `timeout` in seconds is for all of it; None has
        no limit. Raises `ComposeError`, after what was not up before has been taken down again, and `ConfigError`
        before anything was started. Raises `ContainerNotRunning` and `WaitTimedOut` as `wait_for`; the stack then stays
        as it is.

        >>> lab.stack("repo1").up(wait=True)["api"].run("make test").check()
        """
        self._up(Deadline.after(timeout), build=build, wait=wait, keep=True)
        return self

    def wait_for(
        self,
        service: str | None = None,
        *,
        healthy: bool = False,
        port: int | None = None,
        http: str | None = None,
        log: LogPattern | None = None,
        command: Command | None = None,
        timeout: Timeout = READY_TIME,
    ) -> None:
        """Wait until services are ready, all at once; the arguments are those of `Host.wait_for`.

        `service` is one of them; None, the default, is all of the stack. With `healthy`, those that have a health check
        are healthy, and the others run, or have ended with status 0. `port`, `http`, `log` and `command` hold for each.
        `timeout` in seconds, 60 by default, is for all of it; None waits forever, and 0 looks once.

        Raises as `Host.wait_for`, as soon as one service does, and `ConfigError` for a service that it has not.

        >>> lab.stack("repo1").wait_for(healthy=True, timeout=30)
        >>> lab.stack("repo1").wait_for("api", http=":8080/health")
        """
        if service is not None and service not in self._services:
            raise ConfigError(f"{self!r} has no service {service!r}{did_you_mean(service, self._services)}")
        hosts = list(self._services.values()) if service is None else [self._services[service]]

        def conditions_for(host: DockerContainerHost) -> list[Condition]:
            return conditions_of(
                host.id,
                healthy=healthy,
                port=port,
                http=http,
                log=log,
                command=command,
                check_is_required=service is not None,
            )

        wait_for_all(hosts, conditions_for, Patience.after(timeout))

    def down(self, *, stop_timeout: int = 1, volumes: bool = False, timeout: Timeout = None) -> None:
        """Take the stack down, even if others use it, and remove its directory on the parent. Idempotent.

        `stop_timeout` is what containers get to stop, in whole seconds; `volumes` removes the stack's volumes as well;
        `timeout` in seconds is for all of it, None has no limit. Raises `ComposeError`.

        >>> lab.stack("repo1").down()
        """
        self._down(Deadline.after(timeout), stop_timeout=stop_timeout, volumes=volumes)

    def ps(self, *, timeout: Timeout = None) -> list[StackContainer]:
        """Return the stack's containers, stopped ones too. `timeout` in seconds; None has no limit.

        >>> [(container.service, container.status) for container in lab.stack("repo1").ps()]
        """
        with self._in_time("docker ps", deadline := Deadline.after(timeout)):
            return self._remote.containers(deadline)

    def check(self, *, timeout: Timeout = None) -> None:
        """Raise `ConfigError` when compose files are missing, wrong, or lack a declared service. Starts nothing.

        `timeout` in seconds; None has no limit. Raises `ComposeError` when Compose cannot be asked.

        >>> lab.stack("repo1").check()
        """
        with self._in_time("docker compose config", deadline := Deadline.after(timeout)):
            self._remote.check(self._files(), self.project.services, deadline)

    @overload
    def logs(
        self,
        service: str | None = None,
        *,
        follow: Literal[False] = False,
        tail: int | None = None,
        timeout: Timeout = None,
    ) -> list[str]: ...
    @overload
    def logs(
        self, service: str | None = None, *, follow: Literal[True], tail: int | None = None, timeout: Timeout = None
    ) -> Lines: ...
    @overload
    def logs(
        self, service: str | None = None, *, follow: bool, tail: int | None = None, timeout: Timeout = None
    ) -> list[str] | Lines: ...
    def logs(
        self, service: str | None = None, *, follow: bool = False, tail: int | None = None, timeout: Timeout = None
    ) -> list[str] | Lines:
        """Return the lines that the containers wrote, each with its container's name in front.

        `service` shows one only, `tail` the last lines of each. With `follow`, an iterator gives lines as they come,
        until the containers end, `timeout` (in seconds, None has no limit) is over, or it is closed. Raises
        `ComposeError` when the stack is not up, `ConfigError` for a service that it has not.

        >>> for line in lab.stack("repo1").logs("api", follow=True, tail=10):
        ...     print(line)
        """
        deadline = Deadline.after(timeout)
        if tail is not None:
            check_count("tail", tail)
        lines = self._log_lines(service, follow, tail, deadline)
        return lines if follow else list(lines)

    @contextmanager
    def shared(
        self,
        *,
        build: bool = True,
        wait: bool = False,
        own: bool = False,
        stop_timeout: int = 1,
        timeout: Timeout = None,
    ) -> Iterator[Self]:
        """Have the stack up inside the block; the last of the runs that share it takes it down.

        `build`, `wait`, `own`, `stop_timeout` and `timeout` are as for `composed`.

        >>> with lab.stack("repo1").shared(own=True) as stack:
        ...     stack["api"].run("make test").check()
        """
        deadline = Deadline.after(timeout)
        with self._in_time("docker compose up", deadline):
            lease = self._remote.lease(deadline)
        is_up = False

        def leave() -> None:
            lease.release()
            self._down(Deadline.grace(DOWN_TIME), stop_timeout=stop_timeout, if_last=not own, settling=not is_up)

        try:
            self._up(deadline, build=build, wait=wait)
            is_up = True
            yield self
        except BaseException:
            try:
                shielded(leave)
            except OttoError as error:  # what went wrong inside the block matters more
                logger.error("%s could not be taken down: %s", self._remote, error)
            raise
        shielded(leave)

    def __enter__(self) -> Self:
        block = self.shared()
        entered = block.__enter__()
        self._blocks.append(block)
        return entered

    def __exit__(self, *raised: Any) -> None:
        self._blocks.pop().__exit__(*raised)

    def _up(self, deadline: Deadline, *, build: bool, wait: bool, keep: bool = False) -> None:
        with self._in_time("docker compose up", deadline):
            containers = self._remote.up(self._files(), self.project.services, deadline, build=build, keep=keep)
        self._services = self._hosts.register(self.project, self._remote, containers)
        if wait:
            limit = deadline if deadline.remaining() is not None else deadline.at_most(READY_TIME)
            wait_for_all(list(self._services.values()), lambda _: [Healthy(required=False)], Patience(limit))

    def _down(
        self,
        deadline: Deadline,
        *,
        stop_timeout: int,
        volumes: bool = False,
        if_last: bool = False,
        settling: bool = False,
    ) -> None:
        check_count("stop_timeout", stop_timeout)
        with self._in_time("docker compose down", deadline):
            is_gone = self._remote.down(
                deadline, stop_timeout=stop_timeout, volumes=volumes, if_last=if_last, settling=settling
            )
        if is_gone:
            self._hosts.unregister(self.project, self._remote)

    def _log_lines(self, service: str | None, follow: bool, tail: int | None, deadline: Deadline) -> Lines:
        try:
            yield from self._remote.logs(self._files(), service, follow=follow, tail=tail, deadline=deadline)
        except DeadlineExpired:
            if not follow:
                raise self._out_of_time("docker compose logs", deadline) from None

    def _files(self) -> ProjectFiles:
        return ProjectFiles(map(Path, self.project.compose_files))

    @contextmanager
    def _in_time(self, what: str, deadline: Deadline) -> Iterator[None]:
        try:
            yield
        except DeadlineExpired:
            raise self._out_of_time(what, deadline) from None

    def _out_of_time(self, what: str, deadline: Deadline) -> ComposeError:
        reason = deadline.cancelled or "out of time; allow more with timeout="
        return ComposeError(f"{self._remote}: {what}: {reason}")
