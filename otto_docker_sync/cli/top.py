"""``otto-docker top``: what goes on in a lab, on one screen."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..limits import SCREEN_TIME
from .state import State

if TYPE_CHECKING:
    from .activity import LabWatch

STYLES = {True: "green", False: "red", None: "dim"}

WRAPPED = {"host", "machine", "stack", "tags", "owner", "reason", "trouble"}
"""The columns that take several lines where the terminal is narrow. The others are never cut."""


def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", metavar="", help="Look once, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Look once, and write JSON.")] = False,
) -> int:
    """Show what goes on in the lab: hosts, sessions and commands of this login, stacks, reservations.

    Example: otto-docker top

    Press q or Ctrl-C to leave. It needs no reservation, and starts nothing. In a pipe it looks once.
    """
    from .activity import LabWatch

    state: State = ctx.obj
    state.json = state.json or json
    if state.dry_run:
        ids = [host.id for host in state.lab.hosts.values() if not host.is_virtual]
        return state.report_dry_run(f"look at {', '.join(ids)}", hosts=ids)
    watch = LabWatch(state.lab)
    watch.start()
    try:
        if once or state.json or not state.out_is_terminal:
            state.call(watch.wait, hint="")
            _show_once(state, watch)
        else:
            _show_until_left(state, watch)
    finally:
        watch.stop()
    return 0


def _show_once(state: State, watch: LabWatch) -> None:
    if state.json:
        stacks = [
            {"host": host, "compose_project": name, "running": running, "containers": count}
            for host, name, running, count in watch.stacks()
        ]
        hosts = [asdict(row) for row in watch.hosts()]
        state.print_json({"hosts": hosts, "stacks": stacks, "reservations": watch.reservations.entries})
    else:
        for columns, rows in _tables(watch):
            if rows:
                state.print_table(columns, [[cell for cell, _ in row] for row in rows], {"up": "green", "down": "red"})
                state.write("\n")
    if watch.reservations.problem:
        state.error(watch.reservations.problem)


Cells = list[list[tuple[str, str]]]
"""Rows of texts, each with its style."""


def _tables(watch: LabWatch) -> Iterator[tuple[list[str], Cells]]:
    """The tables of the screen: their columns and their rows."""
    hosts: Cells = []
    for row in watch.hosts():
        latency = "" if row.latency is None else f"{row.latency * 1000:.0f} ms"
        sessions, commands = str(row.sessions or ""), str(row.commands or "")
        hosts.append(
            [
                (row.host, ""),
                (row.state, STYLES[row.up]),
                (latency, ""),
                (sessions, "cyan"),
                (commands, "cyan"),
                (row.problem, "yellow"),
            ]
        )
    yield ["host", "state", "latency", "sessions", "commands", "trouble"], hosts
    yield (
        ["machine", "stack", "runs"],
        [
            [(host, ""), (name, ""), (f"{running} of {count}", "green" if running == count else "yellow")]
            for host, name, running, count in watch.stacks()
        ],
    )
    yield (
        ["tags", "mode", "place", "owner", "reason"],
        [
            [
                (" ".join(hold["tags"]), ""),
                (hold["mode"], ""),
                (f"waits, {hold['place']}" if hold["place"] else "holds", ""),
                (hold["owner"], ""),
                (hold["reason"], "dim"),
            ]
            for hold in watch.reservations.entries
        ],
    )


def _show_until_left(state: State, watch: LabWatch) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def screen() -> Group:
        parts: list[Any] = [Text(f"{state.lab.name}    q leaves", "dim"), Text()]
        for columns, rows in _tables(watch):
            if not rows:
                continue
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
            for column in columns:
                table.add_column(column, no_wrap=column not in WRAPPED, overflow="fold")
            for row in rows:
                table.add_row(*(Text(text, style) for text, style in row))
            parts += [table, Text()]
        if watch.reservations.problem:
            parts.append(Text(watch.reservations.problem, "yellow"))
        return Group(*parts)

    with (
        _ended_by_signals(),
        _keys() as has_left,
        Live(screen(), console=state.out, screen=True, auto_refresh=False, redirect_stdout=False) as live,
    ):
        while not has_left(SCREEN_TIME):
            live.update(screen(), refresh=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal that ends the program restore the terminal first."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _keys() -> Iterator[Any]:
    """Take single keys from the terminal: yields a function that waits for so long, and returns whether q was typed."""
    if not sys.stdin.isatty():
        yield lambda seconds: threading.Event().wait(seconds)
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def has_left(seconds: float) -> bool:
        if not select.select([keyboard], [], [], seconds)[0]:
            return False
        typed = os.read(keyboard, 1024)
        return not typed or b"q" in typed.lower()

    try:
        tty.setcbreak(keyboard)
        yield has_left
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
