"""Stacks of Docker Compose on any host that runs containers: up, down, shared, listed, their logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, overload

from ._docker.errors import docker_error
from ._stack.scripts import ROW
from ._stack.stack import Lines, Stack, StackContainer, container_of_row, uncancelled
from .deadline import Deadline, DeadlineExpired, Timeout
from .docker_host import DockerContainerHost
from .errors import ComposeError, ConfigError, OttoError
from .host import Host
from .lab import Lab, services_checked
from .project import Project, checked_compose_project, compose_project_name

logger = logging.getLogger("otto_docker_sync.compose")

DOWN_TIME = 300.0
"""Seconds that leaving `composed` may take."""
PS_TIME = 60.0


def compose_up(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    build: bool = True,
    timeout: Timeout = None,
) -> dict[str, DockerContainerHost]:
    """Bring up a project's stack, and return its running containers: service → host; ``service#2`` for a replica.

    The hosts are in the lab too. The stack stays until `compose_down`; what is up already and unchanged is left alone.
    The compose files and what they refer to go to a private directory on the parent. `on` is the host to run it on
    (default: the project's ``default_host``), `project_name` Compose's ``-p`` (default: `compose_project_name`).

    Raises `ComposeError`, with the last that Compose had to say, after what was not up before has been taken down
    again, and `ConfigError` before anything was started.

    >>> compose_up("repo1", lab)["api"].run("make test").check()
    """
    deadline = Deadline.after(timeout)
    project, stack = _resolved(project, lab, on, project_name)
    return _up(project, lab, stack, deadline, build=build, keep=True)


def compose_down(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    stop_timeout: int = 1,
    volumes: bool = False,
    timeout: Timeout = None,
) -> None:
    """Take a project's stack down, whoever uses it, with its directory on the parent. One that is not up is no error.

    `stop_timeout` is what containers get to stop, in whole seconds. `volumes` removes the stack's volumes as well.

    >>> compose_down("repo1", lab)
    """
    deadline = Deadline.after(timeout)
    project, stack = _resolved(project, lab, on, project_name)
    _down(project, lab, stack, deadline, stop_timeout, volumes)


@contextmanager
def composed(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    build: bool = True,
    timeout: Timeout = None,
    stop_timeout: int = 1,
    own: bool = False,
) -> Iterator[dict[str, DockerContainerHost]]:
    """Have a project's stack up inside the block.

    Runs share it: the last that leaves takes it down. Each holds a lease, a lock that its process on the parent has
    while the connection lives, so a run that crashed holds nothing. A stack that was up before without `composed`, by
    `compose_up` for example, stays up. With `own`, it is taken down at the end in any case.

    >>> with composed("repo1", lab) as services:
    ...     services["api"].run("make test").check()
    """
    deadline = Deadline.after(timeout)
    project, stack = _resolved(project, lab, on, project_name)
    with _in_time(stack, "docker compose up", deadline):
        services_checked(project)
        lease = stack.lease(deadline)

    def leave(settle: bool = False) -> None:
        lease.release()
        _down(project, lab, stack, Deadline.grace(DOWN_TIME), stop_timeout, if_last=not own, settle=settle)

    up = False
    try:
        services = _up(project, lab, stack, deadline, build=build, keep=False)
        up = True
        yield services
    except BaseException:
        try:
            uncancelled(lambda: leave(settle=not up))
        except OttoError as error:  # what went wrong inside the block matters more
            logger.error("%s could not be taken down: %s", stack, error)
        raise
    uncancelled(leave)


def compose_ps(parent: Host) -> list[StackContainer]:
    """The containers of all stacks on a host, stopped ones too.

    >>> [(each.compose_project, each.service, each.status) for each in compose_ps(lab.get("carrot"))]
    """
    labels = ["--filter", "label=com.docker.compose.project", "--filter", "label=com.docker.compose.oneoff=False"]
    docker = parent.backend.docker_command()
    command = [*docker, "ps", "-a", "--no-trunc", *labels, "--format", ROW.replace("\\t", "\t")]
    result = parent.oneshot(command, timeout=PS_TIME)
    if not result.ok:
        raise docker_error(parent.id, "", "", (result.message or result.output).encode(), result.retcode, None, None)
    rows = result.stdout.splitlines()
    found = [container_of_row(row) for row in rows if row.count("\t") == ROW.count("\\t")]
    return sorted(found, key=lambda each: (each.compose_project, each.compose_service, each.number))


@overload
def compose_logs(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    service: str | None = None,
    follow: Literal[False] = False,
    tail: int | None = None,
    timeout: Timeout = None,
) -> list[str]: ...
@overload
def compose_logs(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    service: str | None = None,
    follow: Literal[True],
    tail: int | None = None,
    timeout: Timeout = None,
) -> Lines: ...
@overload
def compose_logs(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    service: str | None = None,
    follow: bool,
    tail: int | None = None,
    timeout: Timeout = None,
) -> list[str] | Lines: ...
def compose_logs(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    service: str | None = None,
    follow: bool = False,
    tail: int | None = None,
    timeout: Timeout = None,
) -> list[str] | Lines:
    """The lines that the containers of a stack wrote, each with its container's name in front.

    `service` shows one only, `tail` the last lines of each. With `follow`, an iterator gives lines as they come, until
    the containers end, the time is up, or it is closed.

    >>> for line in compose_logs("repo1", lab, service="api", follow=True, tail=10):
    ...     print(line)
    """
    deadline = Deadline.after(timeout)
    project, stack = _resolved(project, lab, on, project_name)
    if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 0):
        raise ConfigError(f"tail={tail!r}: give a number of lines, or None for all")
    if service is not None:
        services_checked(Project(project.name, project.compose_files, services=[service]))
    lines = _log_lines(stack, service, follow, tail, deadline)
    return lines if follow else list(lines)


def _log_lines(stack: Stack, service: str | None, follow: bool, tail: int | None, deadline: Deadline) -> Lines:
    try:
        yield from stack.logs(service, follow=follow, tail=tail, deadline=deadline)
    except DeadlineExpired:
        if not follow:
            raise ComposeError(f"{stack}: docker compose logs: {_why(deadline)}") from None


def _resolved(
    project: str | Project, lab: Lab, on: str | Host | None, project_name: str | None
) -> tuple[Project, Stack]:
    project = lab.project(project)
    name = compose_project_name(project) if project_name is None else checked_compose_project(project_name)
    return project, Stack(lab.parent_of(project, on), name)


def _up(
    project: Project, lab: Lab, stack: Stack, deadline: Deadline, *, build: bool, keep: bool
) -> dict[str, DockerContainerHost]:
    directory = services_checked(project)
    with _in_time(stack, "docker compose up", deadline):
        containers = stack.up(directory, project.services, deadline, build=build, keep=keep)
    return lab._register(project, stack, containers)


def _down(
    project: Project,
    lab: Lab,
    stack: Stack,
    deadline: Deadline,
    stop_timeout: int,
    volumes: bool = False,
    if_last: bool = False,
    settle: bool = False,
) -> None:
    if isinstance(stop_timeout, bool) or not isinstance(stop_timeout, int) or stop_timeout < 0:
        raise ConfigError(f"stop_timeout={stop_timeout!r}: give whole seconds")
    with _in_time(stack, "docker compose down", deadline):
        gone = stack.down(deadline, stop_timeout=stop_timeout, volumes=volumes, if_last=if_last, settle=settle)
    if gone:
        lab._unregister(project, stack)


@contextmanager
def _in_time(stack: Stack, what: str, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except DeadlineExpired:
        raise ComposeError(f"{stack}: {what}: {_why(deadline)}") from None


def _why(deadline: Deadline) -> str:
    return deadline.cancelled or "out of time; give more with timeout="
