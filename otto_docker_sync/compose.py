"""Stacks of Docker Compose on any host that runs containers: up, down, shared, listed, their logs.

Each function is the verb of the same name of `Lab.stack`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, overload

from ._stack import Lines, RemoteStack, Stack, StackContainer
from .deadline import Deadline, DeadlineExpired, Timeout
from .docker_host import DockerContainerHost
from .errors import ComposeError
from .host import Host
from .lab import Lab
from .limits import PS_TIME
from .project import Project

__all__ = [
    "Stack",
    "StackContainer",
    "compose_down",
    "compose_logs",
    "compose_ps",
    "compose_up",
    "composed",
]


def compose_up(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    build: bool = True,
    wait: bool = False,
    timeout: Timeout = None,
) -> dict[str, DockerContainerHost]:
    """Bring up a project's stack, and return its running containers: service → host; ``service#2`` for a replica.

    The hosts are in the lab too. The stack stays until `compose_down`; what is up already and unchanged is left alone.
    The compose files and what they refer to go to a private directory on the parent.

    Args:
        project: The name of a project of the lab, or a `Project`.
        lab: Where the hosts of the project are.
        on: The host to run the stack on, or its id; default: the project's ``default_host``.
        project_name: Compose's ``-p``; default: `compose_project_name`.
        build: Whether images are built first; default True.
        wait: Whether to wait until all services that have a health check are healthy, a minute at most where there is
            no `timeout`; default False.
        timeout: Seconds for all of it; None has no limit.

    Raises `ComposeError`, with the last that Compose or the service had to say, after what was not up before has been
    taken down again, and `ConfigError` before anything was started. With `wait`, raises `ContainerNotRunning` for a
    service that ended first, and `WaitTimedOut`; the stack then stays as it is.

    >>> compose_up("repo1", lab)["api"].run("make test").check()
    """
    return dict(lab.stack(project, on=on, project_name=project_name).up(build=build, wait=wait, timeout=timeout))


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
    """Take a project's stack down, even if others use it, and remove its directory on the parent. Idempotent.

    `project`, `lab`, `on` and `project_name` are as for `compose_up`. `stop_timeout` is what containers get to stop, in
    whole seconds. `volumes` removes the stack's volumes as well. `timeout` in seconds is for all of it; None has no
    limit. Raises `ComposeError`.

    >>> compose_down("repo1", lab)
    """
    stack = lab.stack(project, on=on, project_name=project_name)
    stack.down(stop_timeout=stop_timeout, volumes=volumes, timeout=timeout)


@contextmanager
def composed(
    project: str | Project,
    lab: Lab,
    *,
    on: str | Host | None = None,
    project_name: str | None = None,
    build: bool = True,
    wait: bool = False,
    timeout: Timeout = None,
    stop_timeout: int = 1,
    own: bool = False,
) -> Iterator[dict[str, DockerContainerHost]]:
    """Have a project's stack up inside the block.

    Runs share it: the last that leaves takes it down. Each holds a lease, a lock that its process on the parent has
    while the connection lives, so a run that crashed holds nothing. A stack that was up before without `composed`, by
    `compose_up` for example, stays up. With `own`, it is taken down at the end in any case.

    `project`, `lab`, `on`, `project_name`, `build` and `wait` are as for `compose_up`, whose errors it raises;
    `stop_timeout` is as for `compose_down`; `timeout`, in seconds, is for bringing it up.

    >>> with composed("repo1", lab) as services:
    ...     services["api"].run("make test").check()
    """
    stack = lab.stack(project, on=on, project_name=project_name)
    with stack.shared(build=build, wait=wait, own=own, stop_timeout=stop_timeout, timeout=timeout):
        yield dict(stack)


def compose_ps(parent: Host) -> list[StackContainer]:
    """Return the containers of all stacks on `parent`, stopped ones too. Raises `DockerUnavailable`, `ComposeError`.

    >>> [(container.service, container.status) for container in compose_ps(lab.get("carrot"))]
    """
    try:
        return RemoteStack(parent, "any").containers(Deadline.after(PS_TIME), everywhere=True)
    except DeadlineExpired:
        raise ComposeError(f"{parent.id}: docker did not list its containers within {PS_TIME:.0f} s") from None


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
    """Return the lines that the containers of a stack wrote, each with its container's name in front.

    `project`, `lab`, `on` and `project_name` are as for `compose_up`. `service` shows one only, `tail` the last lines
    of each. With `follow`, an iterator gives lines as they come, until the containers end, `timeout` (in seconds, None
    has no limit) is over, or it is closed. Raises `ComposeError` when the stack is not up, `ConfigError` for an unknown
    service.

    >>> for line in compose_logs("repo1", lab, service="api", follow=True, tail=10):
    ...     print(line)
    """
    stack = lab.stack(project, on=on, project_name=project_name)
    return stack.logs(service, follow=follow, tail=tail, timeout=timeout)
