"""The hosts of a lab that are containers of its stacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from ..deadline import Deadline, DeadlineExpired
from ..docker_host import DockerContainerHost, pick_containers
from ..errors import ComposeError, SessionBusy
from ..host import Host
from ..limits import DOWN_TIME
from ..locks import OwnedLock
from ..project import Project, compose_project_name
from .containers import StackContainer, by_address
from .project_files import ProjectFiles
from .remote import RemoteStack


class StackHosts:
    """Makes hosts of the containers of stacks, and keeps them in `hosts`, a lab's mapping of ids.

    Any thread may use it. `replaced` are hosts whose id another one has now: they are still to be closed.
    """

    def __init__(self, hosts: dict[str, Host], lock: threading.Lock, guard: Callable[[Host], None]) -> None:
        self.hosts = hosts
        self.replaced: list[Host] = []
        self._lock = lock
        self._guard = guard
        self._locks: dict[str, OwnedLock] = {}
        self._held: set[str] = set()
        self._leaving: ExitStack | None = None
        """Inside `hold`: takes the stacks down that were used."""

    def declare(self, project: Project, parent: Host) -> list[DockerContainerHost]:
        """Make a host for each service that the project names. The first call that needs one brings the stack up."""
        declared = []
        for service in project.services:
            container = DockerContainerHost(
                parent,
                "",
                project.name,
                service,
                compose_project_name(project),
                resources=parent.resources,
                warm=project.warm,
            )
            self._connect(project, container)
            declared.append(container)
        return declared

    def containers_of(self, stack: RemoteStack) -> list[DockerContainerHost]:
        """Return the hosts that are containers of a stack, whether they run or not."""
        with self._lock:
            hosts = list(self.hosts.values())
        return [
            host
            for host in pick_containers(hosts)
            if host.parent is stack.parent and host.compose_project == stack.compose_project
        ]

    def register(
        self, project: Project, stack: RemoteStack, containers: Iterable[StackContainer]
    ) -> dict[str, DockerContainerHost]:
        """Return service → host for the containers of a stack that run: hosts that were declared, and new ones."""
        hosts: dict[str, DockerContainerHost] = {}
        for service, container in by_address(containers, project.services).items():
            host = DockerContainerHost(
                stack.parent,
                container.container_id,
                project.name,
                service,
                stack.compose_project,
                resources=stack.parent.resources,
                warm=project.warm,
            )
            known = next((known for known in self.containers_of(stack) if known.id == host.id), None)
            if known is not None:
                known.container_id = container.container_id
                host = known
            else:
                if service in project.services:
                    self._connect(project, host)
                with self._lock:
                    replaced = self.hosts.get(host.id)
                    self.hosts[host.id] = host
                    self._guard(host)
                    if replaced is not None:
                        self.replaced.append(replaced)
            hosts[service] = host
        return hosts

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the stacks whose containers are used inside the block; see `Lab.hold_stacks`."""
        with ExitStack() as leaving:
            self._leaving = leaving
            try:
                yield
            finally:
                self._leaving = None
                self._held.clear()

    def _connect(self, project: Project, container: DockerContainerHost) -> None:
        """Let a declared container bring its stack up when it is needed, and hold it inside `hold`."""
        container.bring_up_with(
            partial(self._bring_up, project, container), before_first_use=partial(self._hold, project, container)
        )

    def _hold(self, project: Project, container: DockerContainerHost, deadline: Deadline) -> None:
        stack = RemoteStack(container.parent, container.compose_project)
        with self._lock:
            leaving = self._leaving
            if leaving is None or str(stack) in self._held:
                return
            self._held.add(str(stack))
        # Before it is known whether the stack is up: between that and a lease, another run may leave, and take it down.
        try:
            lease = stack.lease(deadline)
        except BaseException:
            self._held.discard(str(stack))
            raise

        def leave() -> None:
            lease.release()
            if stack.down(Deadline.grace(DOWN_TIME), if_last=True):
                self.unregister(project, stack)

        leaving.callback(leave)

    def unregister(self, project: Project, stack: RemoteStack) -> None:
        """After a stack went down: hosts of declared services stay, not resolved; the others go."""
        for host in self.containers_of(stack):
            host.container_id = ""
            host.close()
            if host.service not in project.services:
                with self._lock:
                    self.hosts.pop(host.id, None)

    def _bring_up(self, project: Project, container: DockerContainerHost, deadline: Deadline) -> str:
        """Bring up the stack of a declared container, unless another thread or process just did. Returns its id."""
        stack = RemoteStack(container.parent, container.compose_project)
        service = container.service
        with self._lock:
            lock = self._locks.setdefault(str(stack), OwnedLock(str(stack)))
        try:
            with lock.hold(f"bringing it up for {container.id}", deadline):
                running = by_address(stack.containers(deadline), [service])
                if service not in running:
                    files = ProjectFiles(map(Path, project.compose_files))
                    started = stack.up(files, [service], deadline, build=False, ensure=service)
                    running = by_address(started, [service])
        except (SessionBusy, DeadlineExpired):
            raise DeadlineExpired(f"{stack} was still being brought up") from None
        except ComposeError as error:
            raise type(error)(
                f"{container.id} is not up, and {error}\nIf an image is missing, this builds or pulls it: "
                f"compose_up({project.name!r}, lab), or otto-docker up {project.name}"
            ) from None
        return running[service].container_id
