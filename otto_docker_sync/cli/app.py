"""The group of all commands, its global options, and how its errors become messages and exit statuses."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
import typer.main
import typer.models

from .. import logs
from ..errors import OttoError
from . import BROKEN_PIPE, COULD_NOT_RUN, INTERRUPTED
from .registry import AFTER_DASHES, COMMANDS, GLOBAL_OPTIONS
from .state import State

PASS_THROUGH: dict[str, Any] = {"allow_interspersed_args": False}
"""Settings of a command whose later words, options among them, belong to the command that is to run."""


class Command(typer.core.TyperCommand):
    """One command; its usage line is what its ``options_metavar`` says."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 (click calls it)
        return [self.options_metavar or ""]

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class RunningCommand(Command):
    """A command that runs a command of this machine, which stands after ``--``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            ctx.meta[AFTER_DASHES] = args[args.index("--") + 1 :]
            args = args[: args.index("--")]
        return super().parse_args(ctx, args)


class CommandGroup(typer.core.TyperGroup):
    """All commands. An error that reaches this point becomes one message and status 255."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Typer looks here for names to suggest; the commands themselves come from `get_command`, when they are needed.
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 (click calls it)
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        function = getattr(importlib.import_module(f".{entry.module}", __package__), cmd_name)
        info = typer.models.CommandInfo(
            name=cmd_name,
            cls=RunningCommand if entry.runs_after_dashes else Command,
            callback=function,
            options_metavar=entry.usage,
            context_settings=PASS_THROUGH if entry.passes_words else {},
        )
        return typer.main.get_command_from_info(
            info, pretty_exceptions_short=False, rich_markup_mode=self.rich_markup_mode
        )

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            return _stop_writing()
        except Exception as error:
            if hasattr(error, "format_message"):  # Typer does not understand the command line
                raise
            return _fail(ctx.ensure_object(State), error)
        finally:
            if isinstance(ctx.obj, State):  # not where the command line was understood too little for that
                ctx.obj.close()


def _without_types(params: list[Any]) -> list[Any]:
    """Keep newer versions of Typer from writing Python's types, as in ``HOST <str>``, into the help."""
    for param in params:
        if param.param_type_name == "argument" or getattr(param, "is_flag", False):
            param.display_type_rich = lambda *_, **__: ""  # what it is called with differs from version to version
    return params


app = typer.Typer(
    cls=CommandGroup,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Use containers on lab machines behind SSH as hosts. The options below are for all commands, and come before "
    "the command.",
    epilog="Exit status: that of the remote command; 124 when it timed out; 130 after Ctrl-C; 255 when it could not be "
    "run.",
)


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    lab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar="OTTO_LAB", help="The lab file. By default the nearest lab.toml, from here upwards."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print results as JSON on stdout.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Contact no host; only say what would be done.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            metavar="",
            show_default=False,
            help="Show the log, and tracebacks of errors. -vv also shows what hosts answer.",
        ),
    ] = 0,
    log_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write logs to this directory: one file per host, and one of all."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Show the version.")] = False,
) -> int:
    state = ctx.obj = State(lab, json, dry_run, verbose, log_dir)
    if version:
        print("otto-docker", importlib.metadata.version("otto-docker-sync"))
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())
    elif ctx.invoked_subcommand != "demo":
        state.start_logs()
    return 0


def run_app() -> int:
    """Read the command line, do what it says, and return the exit status."""
    try:
        status = app(prog_name="otto-docker", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _stop_writing()
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _fail_usage(error)
    return status if isinstance(status, int) else 0


def _fail(state: State, error: Exception) -> int:
    """Say why a command could not be run, and return the exit status."""
    if state.verbose:
        state.write(logs.masked(traceback.format_exc()), to_stderr=True)
    kind = type(error).__name__
    text = str(error) or kind
    if not isinstance(error, (OttoError, OSError)):
        text = f"{kind}: {error}: this is a bug of otto-docker; -v shows where"
    # What Ctrl-C cut off ends with an error of its own.
    return state.fail(text, kind, INTERRUPTED if state.interrupted else COULD_NOT_RUN)


def _fail_usage(error: Any) -> int:
    """Say what is wrong with the command line, and where its help is."""
    ctx = getattr(error, "ctx", None)
    state = ctx.find_root().obj if ctx is not None else None
    if not isinstance(state, State):
        state = State(json="--json" in sys.argv)
    message = error.format_message().rstrip(".?")
    if message.split()[-1] in GLOBAL_OPTIONS:
        text = f"{message} here: it comes before the command, as in: otto-docker --json hosts"
    else:
        mark = "?" if "Did you mean" in message else ""
        command = ctx.info_name if ctx is not None and ctx.parent is not None else ""
        help_of = f"otto-docker {command} --help" if command else "otto-docker --help"
        text = f"{message}{mark or ';'} {'See' if mark else 'see'} {help_of}"
    return state.fail(text, "UsageError", COULD_NOT_RUN)


def _stop_writing() -> int:
    """Nobody reads stdout any more: be as quiet about it as any other program."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
