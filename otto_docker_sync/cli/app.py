"""The commands of ``otto-docker`` and their global options."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
import typer.core

from .. import logs
from ..errors import ConfigError, OttoError
from ..result import CommandResult
from . import BROKEN_PIPE, COULD_NOT_RUN, INTERRUPTED, TIMED_OUT, files, stacks
from .hosts import HostId, complete_hosts, describe, kind
from .state import State

GLOBAL_OPTIONS = ("--lab", "--json", "--dry-run", "--verbose", "-v", "--log-dir")
PASS_THROUGH: dict[str, Any] = {"allow_interspersed_args": False}
"""Options after the first word are not ours: they belong to the command that is to run."""


class CommandGroup(typer.core.TyperGroup):
    """All commands. An error that reaches this point becomes one message and status 255."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _stop_writing()
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if hasattr(error, "format_message"):  # the command line, of which Typer could make nothing
                raise
            state: State = ctx.ensure_object(State)
            if state.verbose:
                state.write(logs.masked(traceback.format_exc()), to_stderr=True)
            if isinstance(error, (OttoError, OSError)):
                state.error(str(error))
            else:
                state.error(f"{type(error).__name__}: {error}: this is a bug of ours; -v shows where")
            return COULD_NOT_RUN
        finally:
            ctx.ensure_object(State).close()


class Command(typer.core.TyperCommand):
    """One command; its usage line is what its ``options_metavar`` says."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [self.options_metavar or ""]


app = typer.Typer(
    cls=CommandGroup,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Containers on lab machines behind SSH, as hosts. The options below are for all commands, and stand before "
    "the command.",
    epilog="Exit status: the command's own; 124 after a time-out; 255 when it could not be run.",
)


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    lab: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="OTTO_LAB", help="The lab file; else lab.toml from here upwards."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Results as JSON, on stdout.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Contact nothing; say what would be done.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            metavar="",
            show_default=False,
            help="Show the log, and tracebacks of errors; -vv: also what hosts answer.",
        ),
    ] = 0,
    log_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write logs there: one file per host, and one of all.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Show the version.")] = False,
) -> int:
    if version:
        print("otto-docker", importlib.metadata.version("otto-docker-sync"))
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())
    state = ctx.obj = State(lab, json, dry_run, verbose, log_dir)
    if ctx.invoked_subcommand != "demo":
        state.start_logs()
    return 0


@app.command(cls=Command, options_metavar="[OPTIONS]")
def hosts(ctx: typer.Context) -> int:
    """List the hosts of the lab. Contacts none of them."""
    state: State = ctx.obj
    every = list(state.lab.hosts.values())
    if state.json:
        state.print_json(
            [
                {
                    "id": host.id,
                    "name": host.name,
                    "kind": kind(host),
                    "how": describe(host),
                    "resources": sorted(host.resources),
                }
                for host in every
            ]
        )
    else:
        rows = [[host.id, kind(host), describe(host), " ".join(sorted(host.resources))] for host in every]
        state.print_table(["host", "kind", "how", "resources"], rows)
    return 0


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="CMD",
        help="One word is text for the shell; several are a program and its arguments, each as it is.",
    ),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", "-t", metavar="SECONDS", help="End the command after so long.")
]


@app.command(cls=Command, options_metavar="[OPTIONS] HOST CMD...", context_settings=PASS_THROUGH)
def run(ctx: typer.Context, host: HostId, command: Words, timeout: Timeout = None) -> int:
    """Run a command in a shell with a terminal.

    Example: otto-docker run bench.repo1.api 'cd /srv && make test'

    Its output is shown while it runs. Options after HOST belong to the command. Ctrl-C interrupts the command, twice
    leaves.
    """
    state: State = ctx.obj
    text = as_shell_text(command)
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"run on {target.id} ({describe(target)}): {text}", host=target.id, command=text)
    show = None if state.json else state.write
    with target.open_session("otto-docker") as session:

        def interrupt() -> bool:
            session.interrupt()
            return session.alive

        result = state.call(lambda: session.run(text, timeout=timeout, on_output=show), interrupt)
    return _report(state, result)


@app.command(cls=Command, options_metavar="[OPTIONS] HOST CMD...", context_settings=PASS_THROUGH)
def oneshot(ctx: typer.Context, host: HostId, command: Words, timeout: Timeout = None) -> int:
    """Run a command in a fresh process, without a terminal.

    Example: otto-docker oneshot -t 10 bench df -h

    Options after HOST belong to the command. Its stdout and stderr stay apart: where they go to different places, they
    are written when it has ended; else while it runs. Ctrl-C ends it.
    """
    state: State = ctx.obj
    text = as_shell_text(command)
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"run on {target.id} ({describe(target)}): {text}", host=target.id, command=text)
    together = _same_place(sys.stdout, sys.stderr)
    show = state.write if together and not state.json else None
    result = state.call(lambda: target.oneshot(text, timeout=timeout, on_output=show))
    if not together and not state.json:
        state.write(result.output if result.stdout is None else result.stdout)
        state.write(result.stderr or "", to_stderr=True)
    return _report(state, result)


@app.command(cls=Command, options_metavar="[OPTIONS] HOST")
def interact(
    ctx: typer.Context,
    host: HostId,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the session there, for asciinema.")
    ] = None,
) -> int:
    """Log in by hand; Ctrl-] leaves.

    Example: otto-docker interact bench.repo1.api
    """
    state: State = ctx.obj
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"log in to {target.id} ({describe(target)})", host=target.id)
    state.tell(f"{target.id}: Ctrl-] leaves", "dim")
    return target.interact(transcript=record) or 0


for function, usage in (
    (files.put, "[OPTIONS] HOST SRC... DEST"),
    (files.get, "HOST SRC... DEST"),
    (stacks.up, "[OPTIONS] [PROJECT]"),
    (stacks.down, "[OPTIONS] [PROJECT]"),
    (stacks.ps, "[HOST]"),
    (stacks.logs, "[OPTIONS] [PROJECT]"),
):
    app.command(cls=Command, options_metavar=usage)(function)


@app.command(cls=Command, options_metavar="[OPTIONS] [HOST]...")
def doctor(
    ctx: typer.Context,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="HOST", help="Only these.", autocompletion=complete_hosts)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", "-t", metavar="SECONDS", help="For each single check.")] = 10.0,
) -> int:
    """Tell what works on each host, what does not, and what to do.

    It looks at the way there hop by hop, the host key, the login, the clock, docker and Compose, file transfer, how
    many sessions sshd allows; in containers at the shell and tar. It starts no container.

    Exit status: 0 when nothing is wrong, else 1.
    """
    state: State = ctx.obj
    chosen = [state.lab.get(name) for name in hosts] if hosts else list(state.lab.hosts.values())
    if state.dry_run:
        ids = [host.id for host in chosen]
        return state.report_dry_run(f"examine {', '.join(ids)}", hosts=ids)
    from .doctor import examine_all

    return examine_all(state, chosen, timeout)


@app.command(cls=Command, options_metavar="[OPTIONS]")
def demo(ctx: typer.Context) -> int:
    """See the library at work, on this machine alone.

    It starts an sshd with fresh keys on a free loopback port, a docker daemon where none runs, and a container of this
    machine's own busybox; runs commands in it; and removes it all at the end, also after Ctrl-C. It needs Debian's
    docker.io, openssh-server and busybox-static, and to be root.
    """
    state: State = ctx.obj
    if state.dry_run:
        return state.report_dry_run(
            "start an sshd, a docker daemon if none runs, and a container; run commands; remove them all"
        )
    from .demo import play

    return play(state.out)


def as_shell_text(words: list[str]) -> str:
    """One word is shell text already; several are quoted, so that each arrives as it is. ``--`` may stand first."""
    if words[0] == "--":
        words = words[1:]
    if not words:
        raise ConfigError("say what to run: HOST CMD...")
    return words[0] if len(words) == 1 else shlex.join(words)


def _same_place(one: TextIO, other: TextIO) -> bool:
    return os.path.sameopenfile(one.fileno(), other.fileno())


def _report(state: State, result: CommandResult) -> int:
    if state.json:
        shown = asdict(result)
        del shown["output_bytes"]
        state.print_json({**shown, "status": result.status.value})
    if result.message:
        state.error(f"{result.host}: {result.message}")
    if result.timed_out:
        return TIMED_OUT
    if result.retcode is not None:
        return result.retcode
    return INTERRUPTED if state.interrupted else COULD_NOT_RUN


def run_app() -> int:
    """Read the command line, do what it says, and return the exit status."""
    try:
        status = app(prog_name="otto-docker", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        State().error(_usage(error.format_message()))
        return COULD_NOT_RUN
    return status if isinstance(status, int) else 0


def _usage(message: str) -> str:
    message = message.rstrip(".")
    if message.split()[-1] in GLOBAL_OPTIONS:
        return f"{message} here: it stands before the command, as in: otto-docker --json hosts"
    return f"{message}; see otto-docker --help"


def _stop_writing() -> int:
    """Nobody reads stdout any more: be as quiet about it as any other program."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
