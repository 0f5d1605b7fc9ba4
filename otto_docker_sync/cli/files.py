"""``otto-docker put`` and ``get``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from ..errors import ConfigError
from ..result import FileProgress, TransferResult
from .hosts import HostId
from .state import State

FAILED = 1


def put(
    ctx: typer.Context,
    host: HostId,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files and directories of this machine, then a directory there."),
    ],
    mode: Annotated[str | None, typer.Option(metavar="OCTAL", help="Permissions of the files, as in 0755.")] = None,
) -> int:
    """Copy files and directories to a host.

    Example: otto-docker put bench.repo1.api build/app app.conf /opt/app
    """
    state: State = ctx.obj
    sources, directory = _split(paths)
    bits = None if mode is None else _mode(mode)
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"put {', '.join(sources)} into {directory} on {target.id}", host=target.id)
    with _bars(state) as progress:
        result = state.call(lambda: target.put(sources, directory, mode=bits, progress=progress))
    return _report(state, result)


def get(
    ctx: typer.Context,
    host: HostId,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files and directories there, then a directory of this machine."),
    ],
) -> int:
    """Copy files and directories from a host.

    Example: otto-docker get bench.repo1.api /var/log/app.log results
    """
    state: State = ctx.obj
    sources, directory = _split(paths)
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"get {', '.join(sources)} from {target.id} into {directory}", host=target.id)
    with _bars(state) as progress:
        result = state.call(lambda: target.get(sources, directory, progress=progress))
    return _report(state, result)


def _split(paths: list[str]) -> tuple[list[str], str]:
    if len(paths) < 2:
        raise ConfigError(f"{paths[0]}: say what to copy and where to: SRC... DEST")
    return paths[:-1], paths[-1]


def _mode(text: str) -> int:
    try:
        bits = int(text, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise ConfigError(f"--mode {text}: give permissions in octal, as in 0755")
    return bits


@contextmanager
def _bars(state: State) -> Iterator[Callable[[FileProgress], None] | None]:
    """A progress bar for each source, on a terminal; nothing in a pipe."""
    if not state.err.is_terminal or state.json:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=state.err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(file: FileProgress) -> None:
            if file.source not in tasks:
                tasks[file.source] = bars.add_task(PurePath(file.source).name)  # a long path hides the figures
            bars.update(tasks[file.source], completed=file.done, total=file.total)

        yield progress


def _report(state: State, result: TransferResult) -> int:
    if state.json:
        files: list[dict[str, Any]] = [{**asdict(file), "status": file.status.value} for file in result.values()]
        state.print_json({"host": result.host, "status": result.status.value, "files": files})
    for file in result.values():
        if not file.ok:
            state.error(f"{result.host}: {file.source} -> {file.destination}: {file.message}")
        elif not state.json:
            state.tell(f"{file.source} -> {file.destination} ({file.size:,} bytes)")
    return 0 if result.ok else FAILED
