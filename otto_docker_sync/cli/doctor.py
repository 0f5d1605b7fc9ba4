"""``otto-docker doctor``: for each host what works, what does not, and what to do about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict

from ..host import Host
from ..limits import EXAMINED_AT_ONCE
from . import INTERRUPTED
from .checks import Finding, Verdict, examine
from .state import State

RESERVATIONS = "(reservations)"
"""Where a finding has its host: what is examined is the lab's table of reservations."""
STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.WRONG: "bold red", Verdict.SKIPPED: "dim"}


def examine_all(state: State, hosts: list[Host], timeout: float) -> int:
    """Examine these hosts, show what was found, and return the exit status."""
    findings = state.call(lambda: _findings(state, hosts, timeout))
    wrong = sum(finding.verdict is Verdict.WRONG for finding in findings)
    if state.json:
        state.print_json([{**asdict(finding), "verdict": finding.verdict.value} for finding in findings])
    else:
        _show(state, findings)
        state.tell(f"{wrong} wrong" if wrong else "nothing is wrong", "bold red" if wrong else "green")
    if state.interrupted:
        return INTERRUPTED
    return 1 if wrong else 0


def _findings(state: State, hosts: list[Host], timeout: float) -> list[Finding]:
    """Examine parents first, then containers, and return the findings in the order of the lab."""
    findings: dict[str, list[Finding]] = {}
    context = copy_context()

    def examine_one(host: Host) -> None:
        parent = findings.get(host.reached_through.id, []) if host.is_virtual and host.reached_through else []
        is_well = not any(finding.verdict is Verdict.WRONG for finding in parent)
        findings[host.id] = context.copy().run(lambda: list(examine(state.lab, host, timeout, parent_is_well=is_well)))

    findings[RESERVATIONS] = [
        Finding(RESERVATIONS, found.check, Verdict(found.verdict), found.found, found.advice)
        for found in state.lab.reservations.examine()
    ]
    with state.busy(f"examining {len(hosts)} hosts"), ThreadPoolExecutor(EXAMINED_AT_ONCE) as pool:
        for are_containers in (False, True):
            chosen = [host for host in hosts if host.is_virtual is are_containers]
            list(pool.map(examine_one, chosen))
    return [finding for name in [*(host.id for host in hosts), RESERVATIONS] for finding in findings[name]]


def _show(state: State, findings: list[Finding]) -> None:
    rows, host = [], ""
    for finding in findings:
        text = finding.found + (f"\n-> {finding.advice}" if finding.advice else "")
        shown = finding.host if finding.host != host or not state.out_is_terminal else ""
        rows.append([shown, finding.check, finding.verdict.value, text])
        host = finding.host
    state.print_table(
        ["host", "check", "verdict", "found"], rows, {v.value: style for v, style in STYLES.items()}, whole=2
    )
