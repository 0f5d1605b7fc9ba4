"""The command ``otto-docker``. It needs the extra ``cli``: ``pip install 'otto-docker-sync[cli]'``.

This module and the two that it imports at the top are light, because every TAB of a completing shell runs them.
"""

from __future__ import annotations

import os
import signal
import sys

from .. import __version__
from . import completion

TIMED_OUT = 124
INTERRUPTED = 130
BROKEN_PIPE = 141
COULD_NOT_RUN = 255


def main() -> None:
    """Run the command line and exit with its status."""
    # Until the program can clean up there is nothing to clean up, and a KeyboardInterrupt inside an import would be a
    # traceback of somebody else's code.
    _exit_on_ctrl_c(INTERRUPTED)
    _open_closed_streams()
    if sys.argv[1:] == ["--version"]:
        print("otto-docker", __version__)
        _end(0)
    if completion.answer():
        _end(0)
    try:
        from .app import run_app
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("typer", "click", "rich", "pydantic"):
            raise
        extra = "pip install 'otto-docker-sync[cli]'"
        print(f"otto-docker: the command line needs {missing.name}: {extra}", file=sys.stderr)
        _end(COULD_NOT_RUN)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = run_app()
    except KeyboardInterrupt:
        status = INTERRUPTED
    _end(status)


def _exit_on_ctrl_c(status: int) -> None:
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))


def _end(status: int) -> None:
    """Exit. Ctrl-C while the interpreter shuts down changes nothing any more."""
    _exit_on_ctrl_c(status)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # What is left in the buffer would be written once more at the end, and fail once more, with a traceback.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


def _open_closed_streams() -> None:
    """Put /dev/null where stdin, stdout or stderr was closed.

    Otherwise the next file or socket that is opened gets its number, and then gets what was meant for the stream.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is the closed one, since those below are open by now.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
