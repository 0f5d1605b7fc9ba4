"""The commands of ``otto-docker``: where each is, and how its command line looks.

A command is a function of the command's name in a module of this package. It takes a ``typer.Context``, whose ``obj``
is the `State`, and its arguments, annotated as Typer has it; it returns the exit status. The module is imported when
the command is called, and for ``otto-docker --help``, so it imports what is heavy inside its functions. To add a
command, add its function, and its line here.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command."""

    module: str
    """The module in this package that has the function."""
    usage: str
    """What comes after the command's name in its usage line."""
    completes: str = ""
    """What its first argument is: "host", "project", or "printer", which is a project or a container.

    What comes after is a file, for completion."""
    repeats: bool = False
    """Whether all its arguments are what the first one is."""
    passes_words: bool = False
    """Whether words after the first argument, options among them, belong to the remote command."""
    runs_after_dashes: bool = False
    """Whether words after ``--`` are a command of this machine: ``ctx.meta[AFTER_DASHES]`` has them."""


AFTER_DASHES = "otto-docker.after-dashes"

COMMANDS: dict[str, Entry] = {
    "hosts": Entry("hosts", "[OPTIONS]"),
    "run": Entry("commands", "[OPTIONS] HOST CMD...", "host", passes_words=True),
    "oneshot": Entry("commands", "[OPTIONS] HOST CMD...", "host", passes_words=True),
    "interact": Entry("commands", "[OPTIONS] HOST", "host"),
    "forward": Entry("forwards", "[OPTIONS] HOST PORT", "host"),
    "wait": Entry("waits", "[OPTIONS] HOST", "host"),
    "put": Entry("files", "[OPTIONS] HOST SRC... DEST", "host"),
    "get": Entry("files", "[OPTIONS] HOST SRC... DEST", "host"),
    "up": Entry("stacks", "[OPTIONS] [PROJECT]", "project"),
    "down": Entry("stacks", "[OPTIONS] [PROJECT]", "project"),
    "ps": Entry("stacks", "[HOST]", "host"),
    "logs": Entry("stacks", "[OPTIONS] [PROJECT|HOST]", "printer"),
    "reserve": Entry("reservations", "[OPTIONS] TAG|HOST... [-- CMD...]", "host", repeats=True, runs_after_dashes=True),
    "who": Entry("reservations", "[OPTIONS]"),
    "release": Entry("reservations", "[OPTIONS] TAG|HOST... --force --why TEXT", "host", repeats=True),
    "top": Entry("top", "[OPTIONS]"),
    "doctor": Entry("commands", "[OPTIONS] [HOST]...", "host", repeats=True),
    "init": Entry("init", "[OPTIONS] [HOST]..."),
    "demo": Entry("commands", "[OPTIONS]"),
}

GLOBAL_VALUES = ("--lab", "--log-dir")
"""Global options that are followed by a value."""
GLOBAL_OPTIONS = (*GLOBAL_VALUES, "--json", "--dry-run", "--verbose", "-v", "-vv")
"""Options of all commands. They come before the command."""
