"""``otto-docker up``, ``down``, ``ps`` and ``logs``: stacks of Docker Compose."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..deadline import shielded
from ..errors import ConfigError, OttoError, WaitTimedOut
from . import COULD_NOT_RUN, INTERRUPTED, TIMED_OUT
from .hosts import complete_hosts, complete_printers, complete_projects, complete_services
from .state import State

if TYPE_CHECKING:
    from .. import StackContainer
    from ..host import Host
    from ..project import Project

COMPOSE_LOGGER = "otto_docker_sync.compose"
"""The logger to which stacks log what Compose writes."""

ProjectName = Annotated[
    str | None,
    typer.Argument(
        metavar="PROJECT",
        help="A project of the lab file; not needed when there is only one.",
        autocompletion=complete_projects,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="HOST",
        help="The host of the stack; by default the project's default host.",
        autocompletion=complete_hosts,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--project-name", "-p", metavar="NAME", help="The Compose project name; by default otto-PROJECT-USER."
    ),
]
Timeout = Annotated[float | None, typer.Option("--timeout", "-t", metavar="SECONDS", help="Time limit.")]


def up(
    ctx: typer.Context,
    project: ProjectName = None,
    on: On = None,
    project_name: Name = None,
    build: Annotated[
        bool, typer.Option("--build/--no-build", metavar="", help="Whether to build images first.")
    ] = True,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Wait until all services with a health check are healthy.")
    ] = False,
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
    try:
        with (
            _state_when_interrupted(state, chosen, parent, project_name),
            _compose_lines(state, f"starting the stack of {chosen.name} on {parent.id}"),
        ):
            hosts = state.call(
                lambda: compose.compose_up(
                    chosen, state.lab, on=parent, project_name=project_name, build=build, wait=wait, timeout=timeout
                )
            )
    except WaitTimedOut as late:
        return state.fail(str(late), type(late).__name__, INTERRUPTED if state.interrupted else TIMED_OUT)
    if state.json:
        state.print_json(
            [{"host": host.id, "service": key, "container": host.container_id} for key, host in hosts.items()]
        )
    else:
        rows = [[host.id, service, host.container_id[:12]] for service, host in hosts.items()]
        state.print_table(["host", "service", "container"], rows, whole=3)
    return 0


def down(
    ctx: typer.Context,
    project: ProjectName = None,
    on: On = None,
    project_name: Name = None,
    stop_timeout: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long containers may take to stop before they are killed.")
    ] = 1,
    volumes: Annotated[bool, typer.Option("--volumes", metavar="", help="Remove the stack's volumes as well.")] = False,
) -> int:
    """Stop a stack, and remove its containers and networks.

    Example: otto-docker down repo1
    """
    from .. import compose

    state: State = ctx.obj
    chosen = state.lab.project(project)
    parent = state.lab.parent_of(chosen, on)
    if state.dry_run:
        return state.report_dry_run(f"stop the stack of {chosen.name} on {parent.id}", project=chosen.name)
    with (
        _state_when_interrupted(state, chosen, parent, project_name),
        _compose_lines(state, f"stopping the stack of {chosen.name} on {parent.id}"),
    ):
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
        typer.Argument(
            metavar="HOST",
            help="Only this parent, or only the stack of this container.",
            autocompletion=complete_hosts,
        ),
    ] = None,
) -> int:
    """List the containers of stacks, on one parent or on all of the lab."""
    from .. import compose
    from ..docker_host import pick_containers

    state: State = ctx.obj
    only_stack: str | None = None
    if host is not None:
        named = state.lab.get(host)
        parents = [named]
        for container in pick_containers([named]):
            only_stack, parents = container.compose_project, [container.parent]
    else:
        parents = [known for known in state.lab.hosts.values() if known.docker_capable]
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
            rows += [
                {"host": parent.id, **asdict(container)}
                for container in found
                if only_stack is None or container.compose_project == only_stack
            ]
    if state.json:
        state.print_json(rows)
    else:
        columns = ["host", "compose_project", "compose_service", "number", "container_id", "status"]
        cells = [
            [str(row[column])[:12] if column == "container_id" else str(row[column]) for column in columns]
            for row in rows
        ]
        state.print_table(["parent", "stack", "service", "number", "container", "status"], cells, whole=5)
    return status


def logs(
    ctx: typer.Context,
    project: Annotated[
        str | None,
        typer.Argument(
            metavar="PROJECT|HOST",
            help="A project, for its whole stack, or a container; not needed when there is only one project.",
            autocompletion=complete_printers,
        ),
    ] = None,
    on: On = None,
    project_name: Name = None,
    service: Annotated[
        str | None,
        typer.Option("--service", "-s", metavar="NAME", help="Only this service.", autocompletion=complete_services),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar="", help="Show new lines as they come, until Ctrl-C.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(metavar="LINES", help="Show only the last LINES lines of each container.")
    ] = None,
    since: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Show only what HOST printed in the last SECONDS seconds.")
    ] = None,
) -> int:
    """Show what the containers of a stack, or one container, have printed.

    Example: otto-docker logs repo1 --service api --tail 20 --follow

    Example: otto-docker logs carrot.repo1.api --since 60
    """
    from .. import compose

    state: State = ctx.obj
    is_host = project is not None and ("." in project or project in state.lab.hosts)
    if is_host and project not in state.lab.projects:
        _require_unset(str(project), {"--on": on, "--project-name": project_name, "--service": service})
        return _host_logs(state, str(project), follow=follow, tail=tail, since=since)
    chosen = state.lab.project(project)
    _require_unset(chosen.name, {"--since": since})
    parent = state.lab.parent_of(chosen, on)
    if state.dry_run:
        return state.report_dry_run(f"show the logs of {chosen.name} on {parent.id}", project=chosen.name)

    def show() -> None:
        lines = compose.compose_logs(
            chosen, state.lab, on=parent, project_name=project_name, service=service, follow=follow, tail=tail
        )
        for line in lines:
            if state.json:
                container, separator, text = line.partition("|")
                known = {"container": container.strip(), "line": text.removeprefix(" ")}
                state.print_json(known if separator else {"container": "", "line": line})
            else:
                state.write(line + "\n")

    state.call(show, hint="")
    return INTERRUPTED if state.interrupted else 0


def _host_logs(state: State, host_id: str, *, follow: bool, tail: int | None, since: float | None) -> int:
    host = state.lab.get(host_id)
    if state.dry_run:
        return state.report_dry_run(f"show the log of {host.id} ({host.description})", host=host.id)

    def show() -> None:
        for line in host.logs(follow=follow, tail=tail, since=since):
            if state.json:
                state.print_json({"host": host.id, "line": line})
            else:
                state.write(line + "\n")

    state.call(show, hint="")
    return INTERRUPTED if state.interrupted else 0


def _require_unset(target: str, options: dict[str, Any]) -> None:
    """Refuse options of `logs` that are for the other kind of target."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]} is for {'a container' if '--since' in options else 'a project'}, not {target}")


# How a stack is now


@contextmanager
def _state_when_interrupted(state: State, project: Project, parent: Host, project_name: str | None) -> Iterator[None]:
    """After Ctrl-C, say in the error how the stack is now: it may be up, down, or anything between."""
    try:
        yield
    except OttoError as error:
        if not state.interrupted:
            raise
        raise type(error)(f"{error}; {_describe_stack(project, parent, project_name)}") from error


def _describe_stack(project: Project, parent: Host, project_name: str | None) -> str:
    from .. import compose
    from ..project import compose_project_name

    name = project_name or compose_project_name(project)
    # The call that was interrupted is over: this one must not be cancelled with it.
    try:
        containers: list[StackContainer] = shielded(lambda: compose.compose_ps(parent))
    except OttoError as error:
        return f"how the stack is now is not known: {error}"
    found = [item for item in containers if item.compose_project == name]
    if not found:
        return "the stack is down"
    running = sum(item.status.startswith("Up") for item in found)
    return (
        f"{running} of its {len(found)} containers run now: otto-docker ps {parent.id} shows them, otto-docker down "
        f"{project.name} removes them"
    )


@contextmanager
def _compose_lines(state: State, text: str) -> Iterator[None]:
    """Show that something is being done, and beside it the last line that Compose wrote."""
    with state.busy(text) as spinner:
        if spinner is None:
            yield
            return
        handler = _LastLine(text, spinner)
        compose_logger = logging.getLogger(COMPOSE_LOGGER)
        level = compose_logger.level
        compose_logger.addHandler(handler)
        compose_logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            compose_logger.setLevel(level)
            compose_logger.removeHandler(handler)


class _LastLine(logging.Handler):
    """Puts the last line of Compose beside the spinner."""

    def __init__(self, text: str, spinner: Any) -> None:
        super().__init__(logging.INFO)
        self._text = text
        self._spinner = spinner

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        line = getattr(record, "otto_compose_line", "")
        if not line:
            return
        text = Text.assemble(self._text, "  ", (line, "dim"), overflow="ellipsis", no_wrap=True)
        # Naming the spinner has it drawn at once: the last line may come just before the end.
        self._spinner.update(text, spinner="dots")
