"""A container on a parent host, as a host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from ._docker import ContainerBackend, Mount
from .arguments import check_count, check_environment, check_user
from .deadline import Deadline, DeadlineExpired, Timeout
from .errors import ConfigError, ConnectError, NoSuchContainer
from .host import Host
from .limits import DOCKER_TIME
from .logs import HostLog

if TYPE_CHECKING:
    from typing_extensions import Unpack

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
# Whatever Compose takes, also a name that begins with a dash.
SERVICE = re.compile(r"[a-zA-Z0-9._-]+(#[1-9][0-9]*)?\Z")


@dataclass(eq=False, repr=False)
class DockerContainerHost(Host):
    """A container, reached through the docker client of its parent. Borrows the parent's connections.

    Args:
        parent: The host that runs the docker daemon.
        container_id: An id or a unique name. ``""`` means declared, not yet resolved: the container is then found by
            the Compose labels of `compose_project` and `service`. It reads as the id in use.
        project: The name of the project that it belongs to.
        service: Its Compose service: ``api``, or ``api#2`` for the second replica.
        compose_project: The name that ``docker compose -p`` was given; ``""`` for a container that is not Compose's.
        log: False keeps its commands and output out of every log, `log_stdout` False off stdout.
        resources: Reservation tags.
        shell: The shell of its commands.
        user: The user of its commands; None is the image's. The same for `workdir`.
        env: Environment of its commands. It travels as input, so its values show in no process list.
        warm: How many shells may wait in the container, so that a ``oneshot`` need not wait for docker to start one.
            Default 0: none.
        default_timeout: Seconds, for commands without a ``timeout``; None is no limit.

    Raises `ConfigError` for an argument that is not valid.

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
    kind = "container"

    def __post_init__(self) -> None:
        if not isinstance(self.parent, Host) or self.parent.is_virtual:
            raise ConfigError(f"parent={self.parent!r}: pass the host that runs the docker daemon")
        _require(NAME, "container_id", self.container_id, optional=True)
        _require(NAME, "project", self.project)
        _require(SERVICE, "service", self.service)
        _require(NAME, "compose_project", self.compose_project, optional=True)
        if self.user:
            check_user("user", self.user)
        if self.workdir is not None and (not self.workdir or "\0" in self.workdir):
            raise ConfigError(f"workdir={self.workdir!r}: pass a path in the container, or None")
        check_count("warm", self.warm)
        self.env = check_environment("env", self.env or {})
        self.id = f"{self.parent.id}.{self.project}.{self.service}".lower()
        self.name = f"{self.parent.id}:{self.service}"
        self._container = ContainerBackend(
            self.id,
            self.shell,
            HostLog(self.id, self.log, self.log_stdout),
            self.parent.backend,
            self.container_id,
            compose_project=self.compose_project,
            service=self.service,
            user=self.user,
            workdir=self.workdir,
            environment=self.env,
            warm=self.warm,
        )
        self._init(self._container)

    @property
    def description(self) -> str:
        """Its service, project and parent."""
        return f"service {self.service} of {self.project} on {self.parent.id}"

    @property
    def reached_through(self) -> Host:
        """Its parent."""
        return self.parent

    def bring_up_with(
        self, bring_up: Callable[[Deadline], str], *, before_first_use: Callable[[Deadline], None] | None = None
    ) -> None:
        """Have `bring_up` called when the container does not run, on first access and after a loss.

        It gets the deadline of the call, and returns the id of the container that runs now, ``""`` if there is none.
        `before_first_use` is called before the container is looked for, whether it runs or not. A lab does this for the
        services that its projects declare.

        >>> web.bring_up_with(lambda deadline: start_my_stack()["web"])
        """
        self._container.bring_up = bring_up
        self._container.before_first_use = before_first_use

    def is_running(self) -> bool:
        """Return whether the container runs now. Starts nothing, brings no stack up.

        Raises when that cannot be known: `ConnectError`, `DockerUnavailable`.

        >>> web.is_running()
        True
        """
        try:
            return self._container.state(self.runner.deadline(DOCKER_TIME))[0] == "running"
        except NoSuchContainer:
            return False
        except DeadlineExpired:
            raise ConnectError(
                f"{self.id}: timed out asking docker on {self.parent.id} for the container's state"
            ) from None

    def mounts(self) -> list[Mount]:
        """Return what is mounted in the container, and where on its machine that is. Starts nothing.

        Raises as `is_running`, and `NoSuchContainer`.

        >>> [(mount.destination, mount.source) for mount in web.mounts()]
        [('/var/log/app', '/srv/shop/logs')]
        """
        try:
            with self.runner.call(self.runner.deadline(DOCKER_TIME)) as deadline:
                return self._container.mounts(deadline)
        except DeadlineExpired:
            raise ConnectError(
                f"{self.id}: timed out asking docker on {self.parent.id} for the container's mounts"
            ) from None


class ContainerOptions(TypedDict, total=False):
    """The further arguments of `DockerContainerHost`, for `ParentHost.container`."""

    log: bool
    log_stdout: bool
    resources: set[str]
    shell: str
    user: str | None
    workdir: str | None
    env: Mapping[str, str] | None
    warm: int
    default_timeout: Timeout


class ParentHost(Host):
    """A host on which a docker daemon may run."""

    def container(
        self,
        container_id: str,
        *,
        project: str = "docker",
        service: str | None = None,
        compose_project: str = "",
        **options: Unpack[ContainerOptions],
    ) -> DockerContainerHost:
        """Return a container of this host as a host of its own: the short way for one that belongs to no project.

        Args:
            container_id: Its id or name.
            project: The project that it belongs to; its id is ``<id of this host>.<project>.<service>``.
            service: The service that it is; None is `container_id`.
            compose_project: The name that ``docker compose -p`` was given; ``""`` if Compose did not make it.
            options: Further arguments of `DockerContainerHost`.

        Raises `ConfigError` for an argument that is not valid. Asks docker nothing.

        >>> UnixHost("lab1").container("web-1", shell="bash").run("echo $BASH_VERSION").output
        """
        name = container_id if service is None else service
        return DockerContainerHost(self, container_id, project, name, compose_project, **options)


def pick_containers(hosts: Iterable[Host]) -> list[DockerContainerHost]:
    """Return those of `hosts` that are containers, in the same order."""
    return [host for host in hosts if isinstance(host, DockerContainerHost)]


def _get_container_id(host: DockerContainerHost) -> str:
    container: ContainerBackend | None = host.__dict__.get("_container")
    return container.container_id if container else host.__dict__["_given_id"]


def _set_container_id(host: DockerContainerHost, container_id: str) -> None:
    host.__dict__["_given_id"] = container_id
    container: ContainerBackend | None = host.__dict__.get("_container")
    if container:
        container.set_container_id(container_id)


# The field reads as the id in use, which is found later when it was declared as "". A property in the class body would
# be taken for the field's default.
DockerContainerHost.container_id = property(_get_container_id, _set_container_id)  # type: ignore[assignment]


def _require(pattern: re.Pattern[str], what: str, value: object, *, optional: bool = False) -> None:
    if optional and (value is None or value == ""):
        return
    if not isinstance(value, str) or not pattern.match(value):
        raise ConfigError(f"{what}={value!r}: only letters, digits, '_', '.' and '-' can be part of it")
