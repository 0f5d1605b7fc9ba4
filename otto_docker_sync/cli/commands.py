"""``otto-docker run``, ``oneshot``, ``interact``, ``doctor`` and ``demo``."""

from __future__ import annotations

import os
import select
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO

import typer

from ..errors import ConfigError
from ..result import CommandResult
from . import COULD_NOT_RUN, INTERRUPTED, TIMED_OUT
from .hosts import HostId, HostPattern, complete_hosts
from .many import PrefixedLines, on_each
from .registry import GLOBAL_OPTIONS, GLOBAL_VALUES
from .state import State, is_pattern

if TYPE_CHECKING:
    from ..host import Host
    from ..session import HostSession

SESSION = "otto-docker"

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="CMD",
        help="One word is text for the remote shell. Several words are a program and its arguments: each arrives "
        "unchanged.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", "-t", metavar="SECONDS", help="Stop after this many seconds, the time to connect included."
    ),
]


def run(ctx: typer.Context, host: HostPattern, command: Words, timeout: Timeout = None) -> int:
    """Run a command in a shell that has a terminal.

    Example: otto-docker run carrot.repo1.api 'cd /srv && make test'

    Its output is shown while it runs. Options come before HOST; what comes after HOST belongs to the command. stdin is
    not passed on: use interact to type, put for files. Press Ctrl-C to interrupt the command, twice to leave.
    """
    state: State = ctx.obj
    text = as_shell_text(ctx, host, command)
    targets = state.targets(host)
    if state.dry_run:
        return _report_dry_run(state, targets, text)
    _refuse_stdin(ctx, host)
    sessions: list[HostSession] = []

    def interrupt() -> bool:
        for session in list(sessions):
            session.interrupt()
        return any(session.alive for session in sessions)

    def call(target: Host, show: Callable[[str], object] | None) -> CommandResult:
        with target.open_session(SESSION) as session:
            sessions.append(session)
            return session.run(text, timeout=timeout, on_output=show)

    if is_pattern(host):
        return _run_on_many(state, targets, text, call, interrupt)
    show = None if state.json else state.write
    result = state.call(lambda: call(targets[0], show), interrupt)
    return _report(state, result)


def oneshot(ctx: typer.Context, host: HostPattern, command: Words, timeout: Timeout = None) -> int:
    """Run a command in a fresh process, without a terminal.

    Example: otto-docker oneshot -t 10 carrot df -h

    Options come before HOST; what comes after HOST belongs to the command. stdin is passed on when it is a pipe or a
    file. stdout and stderr stay separate: when they go to different places they are written when the command has ended,
    else while it runs. Press Ctrl-C to stop it.
    """
    state: State = ctx.obj
    text = as_shell_text(ctx, host, command)
    targets = state.targets(host)
    if state.dry_run:
        return _report_dry_run(state, targets, text)
    stdin = None if is_pattern(host) else piped_stdin()

    def call(target: Host, show: Callable[[str], object] | None) -> CommandResult:
        return target.oneshot(text, timeout=timeout, on_output=show, input=stdin)

    if is_pattern(host):
        _refuse_stdin(ctx, host)
        return _run_on_many(state, targets, text, call)
    together = _is_same_place(sys.stdout, sys.stderr)
    show = state.write if together and not state.json else None
    result = state.call(lambda: call(targets[0], show))
    if not together and not state.json:
        state.write_bytes(result.stdout_bytes)
        state.write_bytes(result.stderr_bytes, to_stderr=True)
    return _report(state, result)


def interact(
    ctx: typer.Context,
    host: HostId,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the session to this file, for asciinema.")
    ] = None,
) -> int:
    """Open a shell on the host in this terminal. Press Ctrl-] to leave it.

    Example: otto-docker interact carrot.repo1.api
    """
    state: State = ctx.obj
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"log in to {target.id} ({target.description})", host=target.id)
    state.tell(f"{target.id}: press Ctrl-] to leave", "dim")
    return target.interact(transcript=record) or 0


def doctor(
    ctx: typer.Context,
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST", help="Only these hosts; ids or patterns, as in '*.api'.", autocompletion=complete_hosts
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", "-t", metavar="SECONDS", help="Time limit for each single check.")
    ] = 10.0,
) -> int:
    """Say what works on each host, what does not, and what to do.

    It checks the connection hop by hop, the host key, the login, the clock, docker and Compose, file transfer, and how
    many sessions sshd allows; in containers the shell and tar. It starts no container.

    Exit status: 0 when nothing is wrong, else 1.
    """
    state: State = ctx.obj
    if hosts:
        chosen = list({host.id: host for name in hosts for host in state.targets(name)}.values())
    else:
        chosen = list(state.lab.hosts.values())
    if state.dry_run:
        ids = [host.id for host in chosen]
        return state.report_dry_run(f"examine {', '.join(ids)}", hosts=ids)
    from .doctor import examine_all

    return examine_all(state, chosen, timeout)


def demo(ctx: typer.Context) -> int:
    """See the library at work, on this machine alone.

    It starts an sshd with fresh keys on a free local port, a docker daemon if none runs, and a container of this
    machine's own busybox; runs commands in it; and removes everything at the end, also after Ctrl-C. It needs Debian's
    docker.io, openssh-server and busybox-static, and to be root.
    """
    state: State = ctx.obj
    if state.dry_run:
        return state.report_dry_run(
            "start an sshd, a docker daemon if none runs, and a container; run commands; remove them all"
        )
    from .demo import play

    return play(state.out)


# The words of the command


def as_shell_text(ctx: typer.Context, host: str, words: list[str]) -> str:
    """Return the words as shell text: one word is that already; several are quoted, so that each arrives unchanged.

    Raises `ConfigError` for an option of ours among them, which would run as a program of that name.
    """
    if words[0] == "--":
        words = words[1:]
    elif words[0].startswith("-"):
        raise ConfigError(_misplaced(ctx, host, words))
    if not words:
        raise ConfigError("say what to run: HOST CMD...")
    return words[0] if len(words) == 1 else shlex.join(words)


def _misplaced(ctx: typer.Context, host: str, words: list[str]) -> str:
    """Say how the command line is written with its first option in the right place."""
    option, rest = words[0], words[1:]
    name = option.partition("=")[0]
    if name in GLOBAL_OPTIONS:
        takes_value = name in GLOBAL_VALUES and "=" not in option
        place, before = "before the command", True
    else:
        known = next((param for param in ctx.command.params if name in param.opts), None)
        takes_value = known is not None and not getattr(known, "is_flag", True) and "=" not in option
        place, before = "before HOST", False
        if known is None and name not in ("-h", "--help"):
            return (
                f"{option}: no program's name begins with a dash; to run it anyway: "
                f"otto-docker {ctx.info_name} {host} -- {shlex.join(words)}"
            )
    moved = [option, *rest[:1]] if takes_value else [option]
    command = rest[len(moved) - 1 :]
    if name in ("-h", "--help"):
        right: list[str] = [str(ctx.info_name), option]
    elif before:
        right = [*moved, str(ctx.info_name), host, *command]
    else:
        right = [str(ctx.info_name), *moved, host, *command]
    return f"{option} comes {place}: otto-docker {shlex.join(right)}"


# stdin


def piped_stdin() -> BinaryIO | None:
    """Return stdin when it is a pipe, a socket or a file; None for a terminal and for /dev/null."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode):
        return sys.stdin.buffer
    return None


def _refuse_stdin(ctx: typer.Context, host: str) -> None:
    """Raise `ConfigError` when there is data on stdin, which nobody would read.

    An open pipe without data is not a mistake: many programs start others with one.
    """
    stdin = piped_stdin()
    if stdin is None:
        return
    readable, _, _ = select.select([stdin], [], [], 0)
    if readable and stdin.peek(1):  # type: ignore[attr-defined]  # at the end of a file, peek returns nothing
        other = "to several hosts" if is_pattern(host) else "to a terminal; oneshot does"
        raise ConfigError(
            f"{ctx.info_name} does not pass stdin on {other}; use otto-docker put {host} for files, interact to type"
        )


# Results


def _run_on_many(
    state: State,
    targets: list[Host],
    text: str,
    call: Callable[[Host, Callable[[str], object] | None], CommandResult],
    interrupt: Callable[[], bool] = lambda: False,
) -> int:
    """Run on several hosts at once; each line of output has its host in front.

    Returns the first exit status that is not 0, in the order of the hosts.
    """

    def work(target: Host) -> CommandResult:
        if state.json:
            return call(target, None)
        with PrefixedLines(f"{target.id}: ", state.write) as lines:
            return call(target, lines.add)

    def lost(target: Host, error: Exception) -> CommandResult:
        return CommandResult(text, message=str(error), host=target.id)

    results = state.call(lambda: on_each(targets, work, lost), interrupt)
    if state.json:
        state.print_json([_as_json(result) for result in results])
    statuses = [_report_status(state, result) for result in results]
    return next((status for status in statuses if status != 0), 0)


def _report_dry_run(state: State, targets: list[Host], text: str) -> int:
    if len(targets) == 1:
        target = targets[0]
        return state.report_dry_run(f"run on {target.id} ({target.description}): {text}", host=target.id, command=text)
    ids = [target.id for target in targets]
    return state.report_dry_run(f"run on {', '.join(ids)}: {text}", hosts=ids, command=text)


def _report(state: State, result: CommandResult) -> int:
    if state.json:
        state.print_json(_as_json(result))
    return _report_status(state, result)


def _as_json(result: CommandResult) -> dict[str, Any]:
    shown = {name: value for name, value in vars(result).items() if not isinstance(value, bytes)}
    return {**shown, "status": result.status.value}


def _report_status(state: State, result: CommandResult) -> int:
    """Say what should be known about a result beside its output, and return its exit status."""
    if result.message:
        state.error(f"{result.host}: {result.message.removeprefix(f'{result.host}: ')}")
    if result.timed_out:
        return TIMED_OUT
    if result.retcode is not None:
        return result.retcode
    return INTERRUPTED if state.interrupted else COULD_NOT_RUN


def _is_same_place(stream: TextIO, other: TextIO) -> bool:
    return os.path.sameopenfile(stream.fileno(), other.fileno())
