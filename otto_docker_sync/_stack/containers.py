"""The containers of stacks, as the docker client on the parent shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .report import ScriptReport

LABEL = "com.docker.compose"

FIELDS = (
    "{{.Id}}",
    # `index` instead of .Label: podman has the labels of `inspect`, but no function .Label in its `ps`.
    f'{{{{index .Config.Labels "{LABEL}.project"}}}}',
    f'{{{{index .Config.Labels "{LABEL}.service"}}}}',
    f'{{{{index .Config.Labels "{LABEL}.container-number"}}}}',
    f'{{{{index .Config.Labels "{LABEL}.oneoff"}}}}',
    "{{.State.Status}}",
    "{{.State.ExitCode}}",
    "{{.RestartCount}}",
    "{{.State.StartedAt}}",
    "{{.Name}}",
    "{{.Config.Image}}",
)
ROW = "|".join(FIELDS)
"""The format that `inspect` is asked for. The scripts read the same fields, by their number."""


@dataclass(frozen=True)
class StackContainer:
    """One container of a stack, as ``docker ps`` on the parent shows it.

    `container_id` is the full id; `name` and `image` are Docker's. `compose_project`, `compose_service` and `number`,
    that of the replica, are Compose's. `service` is how a lab addresses the container: ``api`` is the lowest
    replica that runs, and ``api#3`` the one with this number. `status` is the text for people (``Up 2 minutes``),
    `state` Docker's word (``running``, ``exited``, ``restarting``, …).
    """

    container_id: str
    compose_project: str
    compose_service: str
    number: int
    name: str
    image: str
    status: str
    state: str = "running"
    service: str = ""

    @property
    def is_running(self) -> bool:
        """Whether commands can be run in it."""
        return self.state == "running"


def read_containers(report: ScriptReport) -> list[StackContainer]:
    """Return the containers that a script reported, in the order of stack, service and number; no one-off ones."""
    statuses = dict(line.split("|", 1) for line in report.all("status"))
    containers = []
    for line in report.all("container"):
        container_id, project, service, number, one_off, state, _, _, _, name, image = line.split("|")
        if one_off != "True":  # podman-compose does not set it at all
            status = statuses.get(container_id, state)
            containers.append(
                StackContainer(container_id, project, service, int(number or 1), name.lstrip("/"), image, status, state)
            )
    containers.sort(key=lambda container: (container.compose_project, container.compose_service, container.number))
    return _with_addresses(containers)


def _with_addresses(containers: Iterable[StackContainer]) -> list[StackContainer]:
    """Say for each container how a lab addresses it. Compose never uses a number again, so the first may be any."""
    replicas: dict[tuple[str, str], list[StackContainer]] = defaultdict(list)
    for container in containers:
        replicas[container.compose_project, container.compose_service].append(container)
    addressed = []
    for group in replicas.values():
        first = next((container for container in group if container.is_running), group[0])
        for container in group:
            service = container.compose_service
            addressed.append(
                replace(container, service=service if container is first else f"{service}#{container.number}")
            )
    return addressed


def by_address(containers: Iterable[StackContainer], declared: Iterable[str]) -> dict[str, StackContainer]:
    """Return address → running container. ``api#2`` that was declared is there also when it is the lowest one."""
    running = [container for container in containers if container.is_running]
    found = {container.service: container for container in running}
    for service in declared:
        name, _, number = service.partition("#")
        for container in running:
            if number and container.compose_service == name and container.number == int(number):
                found[service] = container
    return dict(sorted(found.items(), key=lambda item: (item[1].compose_service, item[1].number, item[0])))
