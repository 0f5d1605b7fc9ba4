"""``otto-docker wait``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import WaitTimedOut
from ..limits import READY_TIME
from . import INTERRUPTED, TIMED_OUT
from .hosts import HostId
from .state import State


def wait(
    ctx: typer.Context,
    host: HostId,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Until somebody listens on this TCP port of the host.")
    ] = None,
    http: Annotated[
        str | None, typer.Option(metavar="PATH", help="Until PATH, or :PORT/PATH, is answered with a status below 500.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Until a line that the container has printed matches.")
    ] = None,
    command: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Until this command, run again and again, ends with status 0.")
    ] = None,
    healthy: Annotated[
        bool, typer.Option("--healthy", metavar="", help="Until the container's health check succeeds.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", "-t", metavar="SECONDS", help="Time limit.")] = READY_TIME,
) -> int:
    """Wait until a host is ready.

    Example: otto-docker wait carrot.repo1.api --port 8080 --timeout 30

    Exit status: 124 when it was not ready in time, 255 when the container ended first.
    """
    state: State = ctx.obj
    target = state.lab.get(host)
    if state.dry_run:
        return state.report_dry_run(f"wait for {target.id} ({target.description})", host=target.id)
    try:
        with state.busy(f"waiting for {target.id}"):
            state.call(
                lambda: target.wait_for(
                    healthy=healthy, port=port, http=http, log=log, command=command, timeout=timeout
                )
            )
    except WaitTimedOut as late:
        return state.fail(str(late), type(late).__name__, INTERRUPTED if state.interrupted else TIMED_OUT)
    if state.json:
        state.print_json({"host": target.id, "ready": True})
    else:
        state.tell(f"{target.id} is ready")
    return 0
