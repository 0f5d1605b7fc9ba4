"""``otto-docker up``, ``down``, ``ps`` and ``logs``: stacks of Docker Compose."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..errors import OttoError
from . import COULD_NOT_RUN, INTERRUPTED
from .hosts import complete_hosts, complete_projects
from .state import State

ProjectName = Annotated[
    str | None,
    typer.Argument(
        metavar="PROJECT",
        help="A project of the lab file; not needed where there is only one.",
        autocompletion=complete_projects,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="HOST", help="The parent; else the project's default host.", autocompletion=complete_hosts
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--project-name", "-p", metavar="NAME", help="Compose's name of the stack; else otto-PROJECT-USER."),
]
Timeout = Annotated[float | None, typer.Option("--timeout", "-t", metavar="SECONDS", help="Give up after so long.")]


def up(
    ctx: typer.Context,
    project: ProjectName = None,
    on: On = None,
    project_name: Name = None,
    build: Annotated[
        bool, typer.Option("--build/--no-build", metavar="", help="Whether to build images first.")
    ] = True,
    timeout: Timeout = None,
) -> int:
    """Start a stack, and list its containers as hosts.

    Example: otto-docker up repo1
    """
    from .. import compose

    state: State = ctx.obj
    chosen = state.lab.project(project)
    parent = state.lab.parent_of(chosen, on)
    if state.dry_run:
        return state.report_dry_run(f"start the stack of {chosen.name} on {parent.id}", project=chosen.name)
    with state.busy(f"starting the stack of {chosen.name} on {parent.id}"):
        hosts = state.call(
            lambda: compose.compose_up(
                chosen, state.lab, on=parent, project_name=project_name, build=build, timeout=timeout
            )
        )
    if state.json:
        state.print_json(
            [{"host": host.id, "service": key, "container": host.container_id} for key, host in hosts.items()]
        )
    else:
        rows = [[host.id, service, host.container_id[:12]] for service, host in hosts.items()]
        state.print_table(["host", "service", "container"], rows)
    return 0


def down(
    ctx: typer.Context,
    project: ProjectName = None,
    on: On = None,
    project_name: Name = None,
    stop_timeout: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long containers may take to stop, until they are killed.")
    ] = 1,
    volumes: Annotated[bool, typer.Option("--volumes", metavar="", help="Remove the stack's volumes as well.")] = False,
) -> int:
    """Stop a stack and remove its containers and networks.

    Example: otto-docker down repo1
    """
    from .. import compose

    state: State = ctx.obj
    chosen = state.lab.project(project)
    parent = state.lab.parent_of(chosen, on)
    if state.dry_run:
        return state.report_dry_run(f"stop the stack of {chosen.name} on {parent.id}", project=chosen.name)
    with state.busy(f"stopping the stack of {chosen.name} on {parent.id}"):
        state.call(
            lambda: compose.compose_down(
                chosen, state.lab, on=parent, project_name=project_name, stop_timeout=stop_timeout, volumes=volumes
            )
        )
    if state.json:
        state.print_json({"project": chosen.name, "down": True})
    else:
        state.tell(f"{chosen.name} is down")
    return 0


def ps(
    ctx: typer.Context,
    host: Annotated[
        str | None,
        typer.Argument(metavar="HOST", help="Only on this parent.", autocompletion=complete_hosts),
    ] = None,
) -> int:
    """List the containers of stacks, on a parent or on all of the lab."""
    from .. import compose
    from ..docker_host import DockerContainerHost

    state: State = ctx.obj
    if host:
        named = state.lab.get(host)
        parents = [named.parent if isinstance(named, DockerContainerHost) else named]
    else:
        parents = [known for known in state.lab.hosts.values() if getattr(known, "docker_capable", False)]
    if state.dry_run:
        ids = [parent.id for parent in parents]
        return state.report_dry_run(f"ask docker on {', '.join(ids)}", hosts=ids)
    rows: list[dict[str, Any]] = []
    status = 0
    for parent in parents:
        try:
            found = state.call(lambda parent=parent: compose.compose_ps(parent))  # type: ignore[misc]
        except OttoError as error:
            if len(parents) == 1:
                raise
            state.error(str(error))
            status = COULD_NOT_RUN
        else:
            rows += [{"host": parent.id, **asdict(container)} for container in found]
    if state.json:
        state.print_json(rows)
    else:
        columns = ["host", "compose_project", "compose_service", "number", "container_id", "status"]
        cells = [
            [str(row[column])[:12] if column == "container_id" else str(row[column]) for column in columns]
            for row in rows
        ]
        state.print_table(["parent", "stack", "service", "number", "container", "status"], cells)
    return status


def logs(
    ctx: typer.Context,
    project: ProjectName = None,
    on: On = None,
    project_name: Name = None,
    service: Annotated[str | None, typer.Option("--service", "-s", metavar="NAME", help="Only this service.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar="", help="Go on with new lines as they come; Ctrl-C leaves.")
    ] = False,
    tail: Annotated[int | None, typer.Option(metavar="LINES", help="Begin with the last so many of each.")] = None,
) -> int:
    """Show what the containers of a stack have written.

    Example: otto-docker logs repo1 --service api --tail 20 --follow
    """
    from .. import compose

    state: State = ctx.obj
    chosen = state.lab.project(project)
    parent = state.lab.parent_of(chosen, on)
    if state.dry_run:
        return state.report_dry_run(f"show the logs of {chosen.name} on {parent.id}", project=chosen.name)

    def show() -> None:
        written = compose.compose_logs(
            chosen, state.lab, on=parent, project_name=project_name, service=service, follow=follow, tail=tail
        )
        if isinstance(written, str):
            state.write(written)
        else:
            for line in written:
                state.write(line + "\n")

    state.call(show)
    return INTERRUPTED if state.interrupted else 0
