"""Keywords about Compose stacks and the logs of containers."""

from __future__ import annotations

from datetime import timedelta

from .._docker import Mount
from ..compose import compose_down, compose_up
from ..docker_host import DockerContainerHost
from ..errors import ConfigError
from ..lab import Lab
from ._hosts import HostKeywords
from ._keyword import keyword
from ._open_host import HostRef


class StackKeywords(HostKeywords):
    """Keywords about Compose stacks."""

    @keyword
    def docker_compose_up(
        self,
        project: str,
        on: HostRef = None,
        project_name: str | None = None,
        build: bool = True,
        timeout: timedelta | None = None,
        wait: bool = False,
    ) -> dict[str, DockerContainerHost]:
        """Start a project of the lab, see `Use Lab`, and return its services: a dictionary of name and host.

        Each service is then known to ``host=`` by its name. ``on`` is the machine, else the project's default host;
        ``project_name`` is Compose's, made from the project and the user unless given. With ``wait``, the keyword ends
        when all services that have a health check are healthy.

        | Use Lab           | lab.toml |
        | Docker Compose Up | repo1    |
        | Run Command       | ./selftest | host=api | check=True |
        """
        machine = None if on is None else self._host(on)
        services = compose_up(
            project, self._lab(), on=machine, project_name=project_name, build=build, wait=wait, timeout=timeout
        )
        for service, host in services.items():
            self._add(service, host.name, target=host)
        return services

    @keyword
    def docker_compose_down(
        self,
        project: str,
        on: HostRef = None,
        project_name: str | None = None,
        timeout: timedelta | None = None,
    ) -> None:
        """Stop a project and remove its containers.

        | Suite Teardown | Docker Compose Down | repo1 |
        """
        machine = None if on is None else self._host(on)
        compose_down(project, self._lab(), on=machine, project_name=project_name, timeout=timeout)

    @keyword
    def get_container_logs(
        self,
        *,
        tail: int | None = None,
        since: timedelta | None = None,
        timeout: timedelta | None = None,
        host: HostRef = None,
    ) -> list[str]:
        """Return the lines that a container itself has printed, also one that has ended.

        ``tail`` is for the last lines only, ``since`` for those of so much time before now. ``timeout`` has no limit
        unless given.

        | ${lines} =          | Get Container Logs | tail=20 | since=5 min | host=api |
        | Should Contain Match | ${lines} | *listening on port* |
        """
        return self._host(host).logs(tail=tail, since=since, timeout=timeout)

    @keyword
    def get_container_mounts(self, *, host: HostRef = None) -> list[Mount]:
        """Return what is mounted in a container, and where on its machine that is, also for one that has ended.

        Each has ``destination``, the path in the container, ``source``, the path on the machine, ``type`` (``bind``,
        ``volume`` or ``tmpfs``), ``read_only``, and ``volume``, the name of a volume.

        | ${mounts} =     | Get Container Mounts   | host=api |
        | Should Be Equal | ${mounts[0].destination} | /var/log/app |
        """
        container = self._host(host)
        if not isinstance(container, DockerContainerHost):
            raise ConfigError(f"{container.id} is not a container: `Get Container Mounts` is for containers")
        return container.mounts()

    def _lab(self) -> Lab:
        if not self._labs:
            raise ConfigError("No lab is loaded: use `Use Lab` first")
        return self._labs[-1]
