"""``otto-docker reserve``, ``who`` and ``release``: who may use which hosts."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError, ReservationTimedOut
from ..limits import REFRESH_TIME
from ..locks import Signal
from . import COULD_NOT_RUN, INTERRUPTED, TIMED_OUT
from .hosts import complete_hosts
from .registry import AFTER_DASHES
from .state import State

if TYPE_CHECKING:
    from ..reservations import Entry, Reservation


Wanted = Annotated[
    list[str],
    typer.Argument(metavar="TAG|HOST", help="Tags, or hosts of the lab.", autocompletion=complete_hosts),
]


def reserve(
    ctx: typer.Context,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="TAG|HOST", help="Tags, or hosts of the lab.", autocompletion=complete_hosts),
    ] = None,
    any_of: Annotated[
        str | None, typer.Option("--any", metavar="PATTERN", help="Hosts whose id matches, whichever are free first.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", help="With --any: how many hosts.")] = 1,
    shared: Annotated[
        bool, typer.Option("--shared", metavar="", help="Share the tags with others who use --shared.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option("--wait", "-w", metavar="SECONDS", help="Time limit for waiting; by default none."),
    ] = None,
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", metavar="SECONDS", help="In Redis: it ends when it is not renewed for so long."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", help="Requests with a larger number are served first.")
    ] = 0,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What it is for; others see this.")] = "",
) -> int:
    """Reserve hosts while a command runs, or until Ctrl-C.

    Example: otto-docker reserve carrot --wait 600 --reason nightly -- pytest tests

    The command and all that it starts count as holders. It finds the ids of the hosts in OTTO_RESERVED. Exit status:
    that of the command; 124 when the hosts did not become free in time.
    """
    state: State = ctx.obj
    command: list[str] = ctx.meta.get(AFTER_DASHES, [])
    if bool(wanted) == bool(any_of):
        raise ConfigError("reserve: name tags or hosts, or give --any PATTERN")
    names = " ".join(wanted or [f"{count} of {any_of}"])
    if state.dry_run:
        then = f" and run {shlex.join(command)}" if command else ""
        return state.report_dry_run(f"reserve {names}{then}", command=command)
    reservations = state.lab.reservations
    how: dict[str, Any] = {"shared": shared, "wait": wait, "ttl": ttl, "priority": priority, "reason": reason}

    def take() -> Reservation:
        if any_of:
            return reservations.reserve_any(any_of, count, report=state.tell, **how)
        return reservations.reserve(wanted or [], report=state.tell, **how)

    try:
        with state.busy(f"waiting for {names}"):
            reservation = state.call(take, hint="")
    except ReservationTimedOut as error:
        return state.fail(str(error), "ReservationTimedOut", INTERRUPTED if state.interrupted else TIMED_OUT)
    with reservation:
        if command:
            return _run(state, reservation, command)
        return _hold(state, reservation)


def _hold(state: State, reservation: Reservation) -> int:
    """Hold until Ctrl-C, or until the hold is lost."""
    if state.json:
        hosts = [host.id for host in reservation.hosts]
        state.print_json({"tags": reservation.tags, "hosts": hosts, "fence": reservation.fence})
    else:
        state.tell(f"{' '.join(reservation.tags)} reserved; Ctrl-C releases", "green")
    ended = Signal()
    with _signals(lambda _: ended.set()), reservation.interruption.waking(ended.set):
        ended.wait()
    if reservation.lost:
        return state.fail(reservation.describe_loss(), "ReservationLost", COULD_NOT_RUN)
    return INTERRUPTED


def _run(state: State, reservation: Reservation, command: list[str]) -> int:
    """Run the command as a holder, and return its exit status."""
    from ..reservations import Publication

    publication = Publication(reservation, state.lab.reservations.table)
    try:
        environment = {**os.environ, **publication.environment()}
        try:
            process = subprocess.Popen(command, env=environment)
        except OSError as error:
            return state.fail(f"{command[0]}: {error.strerror}", type(error).__name__, COULD_NOT_RUN)

        def pass_on(number: int) -> None:
            # On a terminal, Ctrl-C has reached the command as well, which is in the foreground with us.
            if number != signal.SIGINT or not sys.stdin.isatty():
                process.send_signal(number)

        with _signals(pass_on), reservation.interruption.waking(lambda: state.error(reservation.describe_loss())):
            status = process.wait()
        return status if status >= 0 else 128 - status
    finally:
        publication.close()


@contextmanager
def _signals(handle: Any) -> Iterator[None]:
    """Call `handle` with the number of each signal that would end us, instead of ending."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _: handle(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def who(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", metavar="", help="Keep showing it, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", metavar="", help="As JSON, on stdout.")] = False,
) -> int:
    """Show who holds which tags, and who waits for them.

    Example: otto-docker who
    """
    state: State = ctx.obj
    state.json = state.json or json
    shown = None
    stop = threading.Event()
    while True:
        found = state.call(state.lab.who)
        if found != shown:
            shown = found
            if state.json:
                state.print_json(asdict(found))
            else:
                if watch and state.out_is_terminal:
                    state.out.clear()
                rows = [*map(_row, found.holds), *map(_row, found.queue)]
                state.print_table(["tags", "mode", "place", "owner", "pid", "since", "run", "reason"], rows)
                if not rows:
                    state.tell("nobody holds or waits for anything")
        if not watch:
            return 0
        stop.wait(REFRESH_TIME)


def _row(entry: Entry) -> list[str]:
    since = datetime.fromtimestamp(entry.since).strftime("%Y-%m-%d %H:%M:%S")
    place = f"waits, {entry.place}" if entry.place else "holds"
    tags = " ".join(entry.tags)
    return [tags, entry.mode, place, entry.owner, str(entry.pid), since, entry.run, entry.reason]


def release(
    ctx: typer.Context,
    wanted: Wanted,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Needed, because somebody loses a reservation.")
    ] = False,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; whoever loses it reads this.")] = "",
) -> int:
    """Take reservations away from whoever holds them. What runs under them is interrupted.

    Example: otto-docker release carrot --force --why 'the release needs it'

    Your own reservation ends with the command or the program that made it.
    """
    state: State = ctx.obj
    reservations = state.lab.reservations
    tags, _ = reservations.resolve(wanted)
    holds = [entry for entry in state.call(reservations.who).holds if set(entry.tags) & set(tags)]
    text = "; ".join(map(str, holds)) or f"nobody holds {' '.join(tags)}"
    if not force or not why.strip() or not holds:
        advice = "" if not holds else "; to take it away: --force --why TEXT"
        return state.fail(f"{text}{advice}", "ReservationError", COULD_NOT_RUN)
    if state.dry_run:
        return state.report_dry_run(f"take away: {text}")
    taken = state.call(lambda: reservations.force(tags, why))
    if state.json:
        state.print_json([{"tags": request.tags, "owner": request.owner, "pid": request.pid} for request in taken])
    else:
        state.tell(f"taken away: {text}")
    return 0
