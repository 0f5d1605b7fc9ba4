"""``otto-docker doctor``: for each host what works, what does not, and what to do about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

import typer

from ..docker_host import DockerContainerHost
from ..host import Host
from .checks import Finding, Verdict, examine
from .hosts import complete_hosts
from .state import State

AT_ONCE = 8
STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.WRONG: "bold red", Verdict.SKIPPED: "dim"}


def doctor(
    ctx: typer.Context,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="HOST", help="Only these.", autocompletion=complete_hosts)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", "-t", metavar="SECONDS", help="For each single check.")] = 10.0,
) -> int:
    """Tell for each host what works, what does not, and what to do.

    Looks at the way there hop by hop, the host key, the login, the clock, docker and Compose, file transfer, how many
    sessions sshd allows; in containers at the shell and tar. It starts no container.
    Exit status: 0 when nothing is wrong, else 1.
    """
    state: State = ctx.obj
    chosen = [state.lab.get(name) for name in hosts] if hosts else list(state.lab.hosts.values())
    if state.dry_run:
        return state.would(f"examine {', '.join(host.id for host in chosen)}", hosts=[host.id for host in chosen])
    findings = state.call(lambda: _examine_all(state, chosen, timeout))
    wrong = sum(finding.verdict is Verdict.WRONG for finding in findings)
    if state.json:
        state.print_json([{**asdict(finding), "verdict": finding.verdict.value} for finding in findings])
    else:
        _show(state, findings)
        state.tell(f"{wrong} wrong" if wrong else "nothing is wrong", "bold red" if wrong else "green")
    return 1 if wrong else 0


def _examine_all(state: State, hosts: list[Host], timeout: float) -> list[Finding]:
    """Parents first, then the containers: what is said of a host appears in the order of the lab."""
    findings: dict[str, list[Finding]] = {}
    watching = state.err.is_terminal and not state.json
    status = state.err.status("") if watching else None
    with status or nullcontext(), ThreadPoolExecutor(AT_ONCE) as pool:

        def one(host: Host) -> None:
            if status:
                status.update(f"examining {host.id}")
            unreachable = isinstance(host, DockerContainerHost) and any(
                finding.verdict is Verdict.WRONG for finding in findings.get(host.parent.id, ())
            )
            findings[host.id] = list(examine(host, timeout, parent_is_well=not unreachable))

        for kind in (False, True):
            list(pool.map(one, [host for host in hosts if isinstance(host, DockerContainerHost) is kind]))
    return [finding for host in hosts for finding in findings[host.id]]


def _show(state: State, findings: list[Finding]) -> None:
    rows, host = [], ""
    for finding in findings:
        text = finding.found + (f"\n-> {finding.advice}" if finding.advice else "")
        shown = finding.host if finding.host != host or not state.out.is_terminal else ""
        rows.append([shown, finding.check, finding.verdict.value, text])
        host = finding.host
    state.print_table(["host", "check", "verdict", "found"], rows, {v.value: style for v, style in STYLES.items()})
