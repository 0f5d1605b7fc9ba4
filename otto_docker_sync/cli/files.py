"""``otto-docker put`` and ``get``."""

from __future__ import annotations

import os
import posixpath
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, OttoError, ShellNotFound
from ..result import FileProgress, FileResult, Status, TransferResult
from . import INTERRUPTED
from .hosts import HostId, HostPattern
from .many import on_each
from .state import State, is_pattern

if TYPE_CHECKING:
    from ..host import Host

FAILED = 1

PreserveTimes = Annotated[bool, typer.Option("--preserve-times", help="Keep the modification times.")]
TimeLimit = Annotated[float | None, typer.Option("--timeout", "-t", metavar="SECONDS", help="Time limit.")]


def put(
    ctx: typer.Context,
    host: HostPattern,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files and directories of this machine, then a directory of the host. For a single file, the last may "
            "also be its new name there.",
        ),
    ],
    mode: Annotated[str | None, typer.Option(metavar="OCTAL", help="Permissions of the files, as in 0755.")] = None,
    owner: Annotated[str | None, typer.Option(metavar="USER[:GROUP]", help="The owner of what is copied.")] = None,
    preserve_times: PreserveTimes = False,
    timeout: TimeLimit = None,
) -> int:
    """Copy files and directories to a host.

    Example: otto-docker put carrot.repo1.api build/app app.conf /opt/app
    """
    state: State = ctx.obj
    sources, destination = _split(paths, host)
    bits = None if mode is None else _mode(mode)
    targets = state.targets(host)
    if state.dry_run:
        ids = ", ".join(target.id for target in targets)
        return state.report_dry_run(f"put {', '.join(sources)} into {destination} on {ids}", host=ids)

    def work(target: Host, progress: Callable[[FileProgress], None] | None = None) -> TransferResult:
        with _renamed(target, sources, destination) as (sent, directory):
            result = target.put(
                sent,
                directory,
                timeout=timeout,
                mode=bits,
                owner=owner,
                preserve_times=preserve_times,
                progress=progress,
            )
        return result if sent is sources else _named(result, sources[0], destination)

    def work_with_bars() -> TransferResult:
        with _bars(state) as progress:
            return work(targets[0], progress)

    if is_pattern(host):
        return _report_all(state, state.call(lambda: on_each(targets, work, _lost)))
    return _report(state, state.call(work_with_bars))


def get(
    ctx: typer.Context,
    host: HostId,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files and directories of the host, then a directory of this machine. For a single file, the last may "
            "also be its new name here.",
        ),
    ],
    preserve_times: PreserveTimes = False,
    timeout: TimeLimit = None,
) -> int:
    """Copy files and directories from a host.

    Example: otto-docker get carrot.repo1.api /var/log/app.log results
    """
    state: State = ctx.obj
    sources, destination = _split(paths, host)
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"get {', '.join(sources)} from {target.id} into {destination}", host=target.id)

    def receive(directory: str | Path, progress: Callable[[FileProgress], None] | None) -> TransferResult:
        return target.get(
            sources, directory, timeout=timeout, preserve_times=preserve_times, progress=progress
        )

    def work() -> TransferResult:
        with _bars(state) as progress:
            here = Path(destination).expanduser()
            if len(sources) > 1 or destination.endswith(os.sep) or here.is_dir() or not here.parent.is_dir():
                return receive(here, progress)
            # The file is received beside its place, so that the rename is one step on one file system.
            with tempfile.TemporaryDirectory(prefix=".otto-docker-", dir=here.parent) as scratch:
                result = receive(scratch, progress)
                if result.ok:
                    os.replace(Path(scratch, posixpath.basename(sources[0].rstrip("/"))), here)
            return _named(result, sources[0], str(here))

    result = state.call(work)
    return _report(state, _with_wildcard_hint(result))


# Paths


def _split(paths: list[str], host: str) -> tuple[list[str], str]:
    if len(paths) < 2:
        hint = ""
        if ":" in host:
            hint = f"; HOST is a word of its own, without a colon: {host.replace(':', ' ', 1)} {paths[0]}"
        raise ConfigError(f"{paths[0]}: say what to copy and where to: HOST SRC... DEST{hint}")
    return paths[:-1], paths[-1]


def _mode(text: str) -> int:
    try:
        bits = int(text, 8)
    except ValueError:
        bits = -1
    if not 0 <= bits <= 0o7777:
        raise ConfigError(f"--mode {text}: pass permissions in octal, as in 0755")
    return bits


@contextmanager
def _renamed(target: Host, sources: list[str], destination: str) -> Iterator[tuple[list[str], str]]:
    """Yield what to send and the directory for it: when DEST is a new name for a single file, a copy of that name."""
    name = posixpath.basename(destination)
    source = Path(sources[0]).expanduser()
    if len(sources) > 1 or not name or name in (".", "..") or not source.is_file():
        yield sources, destination
        return
    directory = posixpath.dirname(destination) or "."
    if not _is_new_name(target, destination, directory):
        yield sources, destination
        return
    with tempfile.TemporaryDirectory(prefix="otto-docker-") as scratch:
        copy = Path(scratch, name)
        shutil.copy2(source, copy)
        yield [str(copy)], directory


def _is_new_name(target: Host, destination: str, directory: str) -> bool:
    question = f"test ! -d {shlex.quote(destination)} && test -d {shlex.quote(directory)}"
    try:
        return target.oneshot(question, log=False).ok
    except ShellNotFound:
        return False  # nobody can say; put works without a shell, into directories


def _named(result: TransferResult, source: str, destination: str) -> TransferResult:
    """Return the result of a renamed file under the names that the person knows."""
    (file,) = result.values()
    return TransferResult({source: FileResult(source, destination, file.status, file.size, file.message)}, result.host)


def _with_wildcard_hint(result: TransferResult) -> TransferResult:
    """Say for a source that is not there, and looks like a pattern, that patterns are not expanded."""
    files = dict(result)
    for source, file in result.items():
        if not file.ok and any(character in source for character in "*?["):
            message = f"{file.message}; patterns are taken literally, so name each file, or get its directory"
            files[source] = FileResult(file.source, file.destination, file.status, file.size, message)
    return TransferResult(files, result.host)


# Showing


@contextmanager
def _bars(state: State) -> Iterator[Callable[[FileProgress], None] | None]:
    """A progress bar for each source, on a terminal; nothing in a pipe."""
    if not state.err_is_terminal or state.json:
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=state.err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(file: FileProgress) -> None:
            if file.source not in tasks:
                tasks[file.source] = bars.add_task(PurePath(file.source).name)  # a long path would hide the figures
            bars.update(tasks[file.source], completed=file.done, total=file.total)

        yield progress


def _lost(target: Host, error: Exception) -> TransferResult:
    if not isinstance(error, (OttoError, OSError)):
        raise error
    return TransferResult({"": FileResult("", "", Status.ERROR, message=str(error))}, target.id)


def _report_all(state: State, results: list[TransferResult]) -> int:
    if state.json:
        state.print_json([_as_json(result) for result in results])
    for result in results:
        _tell(state, result)
    return _status(state, all(result.ok for result in results))


def _report(state: State, result: TransferResult) -> int:
    if state.json:
        state.print_json(_as_json(result))
    _tell(state, result)
    return _status(state, result.ok)


def _status(state: State, ok: bool) -> int:
    if state.interrupted:
        return INTERRUPTED
    return 0 if ok else FAILED


def _tell(state: State, result: TransferResult) -> None:
    for file in result.values():
        copied = f"{file.source} -> {file.destination}"
        directory = posixpath.dirname(file.destination)
        if file.ok:
            if not state.json:
                left_out = f"; {file.message}" if file.message else ""
                state.tell(f"{copied} ({file.size:,} bytes){left_out}")
        elif file.source:
            hint = ""
            if state.interrupted:
                hint = "; what was there before is unchanged"
            elif "no such directory" in file.message:
                hint = f"; make it first: otto-docker run {result.host} mkdir -p {shlex.quote(directory)}"
            state.error(f"{result.host}: {copied}: {file.message}{hint}")
        else:
            state.error(f"{result.host}: {file.message.removeprefix(f'{result.host}: ')}")


def _as_json(result: TransferResult) -> dict[str, Any]:
    files = [{**asdict(file), "status": file.status.value} for file in result.values()]
    return {"host": result.host, "status": result.status.value, "files": files}
