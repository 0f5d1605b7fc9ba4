"""``otto-docker forward``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from ..limits import SIGNAL_POLL
from .hosts import HostId
from .state import State


def forward(
    ctx: typer.Context,
    host: HostId,
    port: Annotated[int, typer.Argument(metavar="PORT", help="A port of the host, published or not.")],
    to: Annotated[int | None, typer.Option(metavar="PORT", help="The local port; by default any free one.")] = None,
) -> int:
    """Open a local port that leads to a port of the host, until Ctrl-C.

    Example: otto-docker forward carrot.repo1.api 8080

    The address is written to stdout as soon as it can be used.
    """
    state: State = ctx.obj
    target = state.lab.get(host)
    if state.dry_run:
        text = f"forward port {port} of {target.id} ({target.description})"
        return state.report_dry_run(text, host=target.id, port=port)
    opened = state.call(lambda: target.forward(port, to=to))
    if state.json:
        state.print_json({"host": target.id, "port": port, "local_port": opened.port, "url": opened.url})
    else:
        state.write(f"{opened.url}\n")
    state.tell(f"leads to port {port} of {target.id}; press Ctrl-C to end it", "dim")
    while True:
        time.sleep(SIGNAL_POLL)
