"""A lab: hosts by id, the projects that run on them, and what is done to many at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Union

from ._shell import command_text
from ._stack import RemoteStack, Stack, StackHosts
from .arguments import check_count
from .deadline import Cancellation, Timeout, cancellation, context_with, timeout_seconds
from .docker_host import DockerContainerHost, pick_containers
from .errors import ConfigError, UnknownHost
from .host import Host
from .limits import MAX_PARALLEL
from .project import Project as Project
from .project import check_compose_project, compose_project_name, did_you_mean
from .reservations import LabReservations, Reservation, ReservationOptions, Wanted, Who
from .result import Command, CommandResult

if TYPE_CHECKING:
    from typing_extensions import Self

Hosts = Union[str, Host, Iterable[Union[str, Host]], None]
"""Hosts to work on: a host, an id, a pattern such as ``*.api``, many of these, or None for all of the lab."""


_active: list[Lab] = []
_active_lock = threading.Lock()


class Lab:
    """Hosts by id, and the projects whose containers are hosts too.

    It owns its hosts: `close` closes them all, containers before their parents, targets before their hops. The
    containers of declared services are hosts before their stack is up; the first call that needs one brings the stack
    up. Any thread may call any verb.

    Args:
        name: Names the lab in messages; default ``"lab"``.
        hosts: Its hosts, or a mapping to them; none by default.
        projects: Its projects, or a mapping to them; none by default.
        resources: Tags that every host of the lab stands for in `reserve`, besides its own.
        reservations: Where and how reservations are kept; None is on this machine.

    Raises `ConfigError` when two hosts have one id, or two projects one name.

    >>> with Lab.load("lab.toml") as lab:
    ...     lab.get("carrot.repo1.api").run("make test").check()
    """

    def __init__(
        self,
        name: str = "lab",
        hosts: Iterable[Host] | Mapping[str, Host] = (),
        projects: Iterable[Project] | Mapping[str, Project] = (),
        *,
        resources: Iterable[str] = (),
        reservations: ReservationOptions | None = None,
    ) -> None:
        self.name = name
        self.resources = set(resources)
        self.reservations = LabReservations(self, reservations or ReservationOptions())
        self.hosts: dict[str, Host] = {}
        self.projects: dict[str, Project] = {}
        self._lock = threading.Lock()
        self._stack_hosts = StackHosts(self.hosts, self._lock, self._guard)
        for host in hosts.values() if isinstance(hosts, Mapping) else hosts:
            self.add(host)
        for project in projects.values() if isinstance(projects, Mapping) else projects:
            if project.name in self.projects:
                raise ConfigError(f"lab {name}: two projects are called {project.name!r}")
            self.projects[project.name] = project
            self._declare(project)

    def __repr__(self) -> str:
        return f"<Lab {self.name}: {len(self.hosts)} hosts, {len(self.projects)} projects>"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the lab file at `path`, and make this the active lab. Contacts nothing.

        Raises `ConfigError` that names file, table and key, and what may have been meant.

        >>> Lab.load("lab.toml").hosts
        """
        try:
            from . import lab_file
        except ModuleNotFoundError as missing:
            raise ConfigError(
                f"a lab file needs {missing.name}, which is not installed: pip install 'otto-docker-sync[lab]'"
            ) from None
        declared = lab_file.read(path)
        lab = cls(
            declared.name,
            declared.hosts,
            declared.projects,
            resources=declared.resources,
            reservations=declared.reservations,
        )
        lab._activate()
        return lab

    # Hosts

    def add(self, host: Host) -> Host:
        """Add `host`, and return it. Raises `ConfigError` when another one has its id.

        >>> lab.add(UnixHost("192.0.2.10", id="carrot"))
        """
        with self._lock:
            if self.hosts.setdefault(host.id, host) is not host:
                raise ConfigError(f"lab {self.name}: there is a host {host.id!r} already; pass another id=")
            self._guard(host)
        return host

    def _guard(self, host: Host) -> None:
        """Have each verb on the host ask for its reservation first."""
        host.backend.guard = self.reservations.guard(host)

    def get(self, host: str | Host) -> Host:
        """The host of this id; a `host` that is one is returned as it is.

        Raises `UnknownHost`, a `ConfigError` and `LookupError`, which names the nearest ids.

        >>> lab.get("carrot.repo1.api#2")
        """
        if isinstance(host, Host):
            return host
        found = self.hosts.get(host) or self.hosts.get(host.lower())
        if found is None:
            raise UnknownHost(f"lab {self.name} has no host {host!r}{did_you_mean(host, self.hosts)}")
        return found

    def containers(self) -> list[DockerContainerHost]:
        """The hosts that are containers, whether they run or not."""
        return pick_containers(list(self.hosts.values()))

    def select(self, pattern: str) -> list[Host]:
        """Return the hosts whose id matches `pattern`, a shell pattern. No match is not an error.

        >>> lab.select("*.api")
        """
        return [host for host_id, host in list(self.hosts.items()) if fnmatchcase(host_id, pattern)]

    def _chosen(self, hosts: Hosts) -> list[Host]:
        if hosts is None:
            return list(self.hosts.values())
        chosen: dict[str, Host] = {}
        for wanted in [hosts] if isinstance(hosts, (str, Host)) else hosts:
            is_pattern = isinstance(wanted, str) and set(wanted) & set("*?[")
            fitting = self.select(str(wanted)) if is_pattern else []
            for host in fitting or [self.get(wanted)]:
                chosen[host.id] = host
        return list(chosen.values())

    # All of them

    def run_all(
        self, cmd: Command, hosts: Hosts = None, *, max_parallel: int = MAX_PARALLEL, timeout: Timeout = None
    ) -> dict[str, CommandResult]:
        """Run a command as `oneshot` on many hosts at once; return id → result, in the order of the hosts.

        Args:
            cmd: A string is run by each host's shell; a list is run as argv, without a shell.
            hosts: Hosts, ids or patterns; None is all of the lab, declared containers included, whose stacks then come
                up.
            max_parallel: How many hosts at a time; default 16.
            timeout: Seconds for each host, from its own start; None has no limit.

        One that fails does not stop the others: what it raised becomes the message of an ERROR result.

        >>> lab.run_all("uname -r", hosts="*.api", timeout=10)["carrot.repo1.api"].output
        """
        command = command_text(cmd)
        timeout_seconds(timeout)
        check_count("max_parallel", max_parallel, minimum=1)
        chosen = self._chosen(hosts)
        if not chosen:
            return {}

        def work(host: Host) -> CommandResult:
            try:
                return host.oneshot(cmd, timeout)
            except Exception as error:
                return CommandResult(command, message=str(error) or repr(error), host=host.id)

        stop = Cancellation()
        context = context_with(stop)
        outer = cancellation.get()
        with ExitStack() as stack:
            if outer is not None:
                stack.enter_context(outer.waking(stop.cancel))
                if outer.cancelled:
                    stop.cancel()
            pool = ThreadPoolExecutor(min(max_parallel, len(chosen)), thread_name_prefix=f"otto-{self.name}")
            stack.enter_context(pool)
            futures = [pool.submit(context.copy().run, work, host) for host in chosen]
            try:
                return {host.id: future.result() for host, future in zip(chosen, futures, strict=True)}
            except BaseException:
                stop.cancel()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def rebuild_connections(self) -> None:
        """Drop the sessions and connections of all hosts; the next call on each opens anew. Connects nothing itself."""
        self._for_all(Host.rebuild_connections)

    def close(self) -> None:
        """Close all hosts, containers before their parents, targets before their hops; then release what is reserved.

        One that fails does not keep the rest open; its error is raised at the end. Idempotent.
        """
        with _active_lock:
            if self in _active:
                _active.remove(self)
        try:
            self._for_all(Host.close)
        finally:
            self.reservations.close()

    def __enter__(self) -> Self:
        self._activate()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _activate(self) -> None:
        with _active_lock:
            if self in _active:
                _active.remove(self)
            _active.append(self)

    def _for_all(self, verb: Callable[[Host], None]) -> None:
        """Call `verb` for all hosts, what stands on others first; the first error is raised when all are done."""
        with self._lock:
            hosts = [*self.hosts.values(), *self._stack_hosts.replaced]
        with ExitStack() as last_first:
            for host in sorted(hosts, key=_depth):
                last_first.callback(verb, host)

    # Reservations

    def reserve(
        self,
        wanted: Wanted,
        *,
        shared: bool = False,
        wait: Timeout = None,
        ttl: Timeout = None,
        priority: int = 0,
        reason: str = "",
    ) -> Reservation:
        """Reserve tags for this process, all of them or none; concurrent runs that want the same take turns.

        Args:
            wanted: A tag, a host or its id, or many of these. A host stands for its ``resources`` and the lab's.
            shared: Whether others may hold the tags at the same time, who share them too. Default False.
            wait: Seconds to wait; None (default) waits forever, 0 is now or not.
            ttl: Seconds in which the hold ends in Redis that its process does not renew; default: the lab file's.
            priority: Larger ones are served first; default 0. Among equals, who came first.
            reason: What for. Others read it in `who`, and while they wait.

        Raises `ReservationError` when the time is over, which names the holders and the place in the queue, or when the
        backend cannot be used. Raises `ConfigError` for an empty list, a host without tags, and a tag that this process
        holds already; `UnknownHost` for a name that is neither a tag nor a host.

        >>> with lab.reserve("carrot", wait=600, reason="nightly"):
        ...     lab.get("carrot").run("make flash").check()
        """
        return self.reservations.reserve(wanted, shared=shared, wait=wait, ttl=ttl, priority=priority, reason=reason)

    def reserve_any(
        self,
        pattern: str,
        count: int = 1,
        *,
        shared: bool = False,
        wait: Timeout = None,
        ttl: Timeout = None,
        priority: int = 0,
        reason: str = "",
    ) -> Reservation:
        """Reserve `count` of the hosts whose id fits a pattern, whichever are free first.

        Args:
            pattern: A shell pattern, as `select` takes it.
            count: How many hosts; default 1. All of them at one moment, or none.

        `shared`, `wait`, `ttl`, `priority` and `reason` are as for `reserve`. ``hosts`` of the reservation are the
        chosen ones.

        >>> with lab.reserve_any("gpu-*", 2) as reservation:
        ...     lab.run_all("make test", hosts=reservation.hosts)
        """
        return self.reservations.reserve_any(
            pattern, count, shared=shared, wait=wait, ttl=ttl, priority=priority, reason=reason
        )

    def who(self) -> Who:
        """Who holds what, and who waits: ``holds`` and ``queue``, of entries in the order in which they are served.

        >>> [(entry.tags, entry.owner, entry.reason) for entry in lab.who().holds]
        [(('carrot',), 'alice@lab1', 'nightly')]
        """
        return self.reservations.who()

    # Projects

    def project(self, project: str | Project | None = None) -> Project:
        """The project of this name; the only one there is when `project` is None. Raises `ConfigError`.

        >>> lab.project("repo1").services
        ('api', 'db')
        """
        if isinstance(project, Project):
            return project
        if project is None:
            if len(self.projects) == 1:
                return next(iter(self.projects.values()))
            names = ", ".join(sorted(self.projects)) or "it has none"
            raise ConfigError(f"lab {self.name}: say which project: {names}")
        if project not in self.projects:
            raise ConfigError(f"lab {self.name} has no project {project!r}{did_you_mean(project, self.projects)}")
        return self.projects[project]

    def stack(
        self, project: str | Project | None = None, *, on: str | Host | None = None, project_name: str | None = None
    ) -> Stack:
        """Return the stack of a project: a mapping of its services to hosts, with ``up``, ``down``, ``ps``, ``logs``.

        Contacts nothing.

        Args:
            project: A project of the lab, or its name; not needed where there is only one.
            on: The host to run it on, or its id; default: the project's ``default_host``.
            project_name: Compose's name of the stack, its ``-p``; default: `compose_project_name`.

        Raises `ConfigError` for a project, host or name that there is not or that cannot be used.

        >>> with lab.stack("repo1") as stack:
        ...     stack["api"].run("make test").check()
        """
        project = self.project(project)
        name = compose_project_name(project) if project_name is None else check_compose_project(project_name)
        return Stack(project, RemoteStack(self.parent_of(project, on), name), self._stack_hosts)

    def hold_stacks(self) -> AbstractContextManager[None]:
        """Hold, inside the block, every stack that a declared container of this lab is used in.

        A stack that comes up because a container of it was needed stays up after the program, so that the next one
        finds it. A test run wants the reverse: what it brought up is taken down at the end of the block, by the last of
        the runs that hold it. A stack that `compose_up` brought up stays.

        >>> with Lab.load("lab.toml") as lab, lab.hold_stacks():
        ...     lab.get("carrot.repo1.api").run("make test").check()
        """
        return self._stack_hosts.hold()

    def parent_of(self, project: Project, on: str | Host | None = None) -> Host:
        """The host that the stack of `project` runs on: `on`, the project's own, or the only one that may run any.

        Raises `ConfigError` when there is none, or several.
        """
        chosen = on if on is not None else project.default_host
        if chosen is not None:
            parent = self.get(chosen)
            parent.backend.docker_command()  # raises for a host that runs no containers
            return parent
        capable = [host for host in self.hosts.values() if host.docker_capable]
        if len(capable) == 1:
            return capable[0]
        ids = ", ".join(host.id for host in capable)
        raise ConfigError(
            f"project {project.name}: which host is it to run on? Pass on=, or set default_host; "
            + (f"there are {ids}" if ids else f"lab {self.name} has none that is docker_capable")
        )

    def _declare(self, project: Project) -> None:
        """Add a host for each service that the project names, where it is clear on which parent it will be."""
        if not project.services:
            return
        if project.default_host is None and sum(h.docker_capable for h in self.hosts.values()) != 1:
            return
        for container in self._stack_hosts.declare(project, self.parent_of(project)):
            self.add(container)


def all_hosts() -> list[Host]:
    """The hosts of the active lab: the one last loaded or entered, and not closed. Empty when there is none.

    >>> [host.id for host in all_hosts()]
    """
    with _active_lock:
        return list(_active[-1].hosts.values()) if _active else []


def _depth(host: Host) -> int:
    """How many hosts stand below: hops, and the parent of a container."""
    below = host.reached_through
    if below is None:
        return 0
    # A container closes before any machine, however long the way to that is.
    return _depth(below) + (1000 if host.is_virtual else 1)
