"""``otto-docker demo``: the most common tasks, on this machine alone. It removes everything that it started."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from .._sandbox import (
    SandboxError,
    Sshd,
    Workspace,
    create_workspace,
    destroy_workspace,
    docker_for,
    import_busybox,
)
from ..errors import OttoError
from . import demo_steps

Result = TypeVar("Result")


def play(console: Console) -> int:
    """Set everything up, show the steps, and remove it all."""
    show = Show(console)
    begin = time.monotonic()
    try:
        with _exit_on_signals(signal.SIGTERM, signal.SIGHUP), _workspace(show) as workspace, _directory(workspace.path):
            show.text(f"  all that is started belongs to {workspace.path}, and goes with it", "dim")
            _run(workspace, show)
    except SandboxError as error:
        raise OttoError(str(error)) from error
    show.text(f"\nThat was it, in {time.monotonic() - begin:.0f} s; all that was started is gone again.", "bold")
    show.text("Next: a lab.toml with your own machines, then: otto-docker doctor")
    return 0


def _run(workspace: Workspace, show: Show) -> None:
    with show.doing("docker daemon"):
        docker = docker_for(workspace)
    with show.doing("sshd on a free loopback port, with fresh keys"):
        sshd = Sshd(workspace, environ=docker.environ)
    with show.doing("image of this machine's busybox"):
        image = import_busybox(docker, workspace)
    with show.doing("container"):
        container = docker(
            "run", "--detach", "--init", "--network=none", "--hostname=box", "--label", workspace.label, image
        )
    host = show.step(demo_steps.connect, sshd.port, sshd.identity_file, sshd.known_hosts, container[:12])
    try:
        for step in demo_steps.STEPS:
            show.step(step, host)
    finally:
        host.close()
        host.parent.close()


class Show:
    """Writes what the reader sees."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._syntax = Syntax("", "python", theme="ansi_dark")
        self._count = 0

    def text(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say what is being set up, and how long it took."""
        begin = time.monotonic()
        status = self._console.status(what) if self._console.is_terminal else contextlib.nullcontext()
        with status:
            yield
        self.text(f"  {what}: {time.monotonic() - begin:.1f} s", "dim")

    def step(self, function: Callable[..., Result], *args: Any) -> Result:
        """Show a function, run it, and show what it prints."""
        self._count += 1
        self._console.print()
        title = Text(f"{self._count}. {inspect.getdoc(function)}", "bold")
        self._console.print(Rule(title, align="left", style="dim"), soft_wrap=False)
        for line in self._syntax.highlight(_body(function)).split("\n"):
            self._console.print(Text("  ").append_text(line))
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                return function(*args)
        finally:
            for output in printed.getvalue().splitlines():
                if output.strip():
                    self.text(f"  > {output.strip()}", "green")


def _body(function: Callable[..., Any]) -> str:
    """The lines of a function below its docstring."""
    source = inspect.getsource(function)
    lines = textwrap.dedent(source.split('"""', 2)[2]).strip("\n").splitlines()
    return "\n".join(line for line in lines if not line.startswith("return"))


@contextlib.contextmanager
def _workspace(show: Show) -> Iterator[Workspace]:
    """Yield the workspace that owns everything the demo starts, and remove it at the end.

    Ctrl-C is ignored during the removal, or half of it would stay.
    """
    workspace = create_workspace()
    try:
        yield workspace
    finally:
        old = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with show.doing("removing it all"):
                destroy_workspace(workspace)
        finally:
            signal.signal(signal.SIGINT, old)


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[None]:
    """Change to a directory for the time of the block."""
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _exit_on_signals(*signals: signal.Signals) -> Iterator[None]:
    """Let these signals end the program as Ctrl-C does: with everything cleaned up."""
    old = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
