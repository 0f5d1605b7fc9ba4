"""Hosts on the command line: their ids, how they are shown, and ``otto-docker hosts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import completion
from .state import State

if TYPE_CHECKING:
    pass


def _names(ctx: typer.Context) -> completion.Names:
    lab_file = ctx.find_root().params.get("lab")
    return completion.read_names(str(lab_file) if lab_file else None)


def complete_hosts(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the host ids that begin so. Reads the lab file only."""
    return [item for item in _names(ctx).hosts.items() if item[0].startswith(incomplete)]


def complete_projects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the projects that begin so. Reads the lab file only."""
    return [name for name in _names(ctx).projects if name.startswith(incomplete)]


def complete_printers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the projects and the containers that begin so. Reads the lab file only."""
    names = _names(ctx)
    containers = [host for host in names.hosts if "." in host]
    return [name for name in [*names.projects, *containers] if name.startswith(incomplete)]


def complete_services(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the services of the project on the command line, else of all, that begin so. Reads the lab file only."""
    projects = _names(ctx).projects
    chosen = ctx.params.get("project")
    listed = projects.get(chosen, []) if chosen else [service for services in projects.values() for service in services]
    names = dict.fromkeys(service.partition("#")[0] for service in listed)
    return [name for name in names if name.startswith(incomplete)]


HostId = Annotated[
    str, typer.Argument(metavar="HOST", help="The id of a host of the lab.", autocompletion=complete_hosts)
]
HostPattern = Annotated[
    str,
    typer.Argument(
        metavar="HOST",
        help="The id of a host of the lab, or a pattern for several, as in '*.api'.",
        autocompletion=complete_hosts,
    ),
]


def hosts(ctx: typer.Context) -> int:
    """List the hosts of the lab. Contacts none of them."""
    state: State = ctx.obj
    listed = list(state.lab.hosts.values())
    if state.json:
        state.print_json(
            [
                {
                    "id": host.id,
                    "name": host.name,
                    "kind": host.kind,
                    "how": host.description,
                    "resources": sorted(host.resources),
                }
                for host in listed
            ]
        )
    else:
        rows = [[host.id, host.kind, host.description, " ".join(sorted(host.resources))] for host in listed]
        state.print_table(["host", "kind", "how", "resources"], rows)
    _explain_missing(state)
    return 0


def _explain_missing(state: State) -> None:
    """Say why a host is not listed that a reader of the lab file may expect."""
    lab = state.lab
    if not lab.hosts:
        state.tell('the lab has no hosts; add a table to its file: [hosts.carrot] and, below it, host = "192.0.2.10"')
    for project in lab.projects.values():
        is_listed = any(host.project == project.name for host in lab.containers())
        if project.services and not is_listed and project.default_host is None:
            state.tell(
                f"{project.name}: its services are not listed, because it names no default_host and the lab has not "
                "exactly one host that may run it"
            )
