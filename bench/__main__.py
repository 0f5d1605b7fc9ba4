"""Measure everything, and write the table: ``make bench``.

python -m bench                  all of it, into build/bench
python -m bench --quick          the same with less of everything: whether it works, not how fast it is
python -m bench --only run       only the rows and curves whose names begin so; may be given more than once
python -m bench --docs           also writes what docs/performance.rst shows
python -m bench --list           the names of the rows and curves
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import report
from .curves import Curve, make_curves
from .report import Outcome, Results
from .rows import CROWD, Row, make_rows
from .target import make_target

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build/bench"
DOCS = ROOT / "docs/performance"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the library costs, beside others.")
    parser.add_argument("--quick", action="store_true", help="less of everything: whether it works, not how fast it is")
    parser.add_argument("--only", action="append", metavar="NAME", help="rows and curves whose names begin so")
    parser.add_argument("--docs", action="store_true", help="also write what docs/performance.rst shows")
    parser.add_argument("--list", action="store_true", help="show the names of the rows and curves")
    arguments = parser.parse_args()
    rows = [row for row in make_rows(quick=arguments.quick) if _chosen(row.key, arguments.only)]
    curves = [curve for curve in make_curves() if _chosen(curve.key, arguments.only)]
    if arguments.list:
        print("\n".join([*(row.key for row in rows), *(curve.key for curve in curves)]))
        return 0
    if arguments.docs and arguments.only:
        parser.error("--docs needs all rows: leave --only out")
    if not rows and not curves:
        parser.error(f"no row and no curve begins with {' or '.join(arguments.only)}: see --list")
    results = measure_all(rows, curves, quick=arguments.quick)
    report.write(results, RESULTS)
    print(f"\nwritten to {RESULTS.relative_to(ROOT)}")
    if arguments.docs:
        report.copy_to_docs(RESULTS, DOCS)
        print(f"and to {DOCS.relative_to(ROOT)}")
    return 0 if all(outcome.figure(outcome.sides[0]) for outcome in results.outcomes) else 1


def _chosen(key: str, only: list[str] | None) -> bool:
    return only is None or any(key.startswith(name) for name in only)


def measure_all(rows: list[Row], curves: list[Curve], *, quick: bool) -> Results:
    """Measure everything, and say on stdout what comes out while it goes on."""
    with make_target(CROWD) as target:
        results = Results(report.facts_of(target, quick=quick), [], [])
        print(report.text_of_facts(results.facts))
        for row in rows:
            target.end_leftovers()
            started_at = time.monotonic()
            outcome = Outcome(row, row.measure(target, quick=quick))
            results.outcomes.append(outcome)
            print(f"{report.text_table([outcome])}    ({row.key}, {time.monotonic() - started_at:.0f} s)", flush=True)
        for curve in curves:
            target.end_leftovers()
            started_at = time.monotonic()
            points = curve.measure(target, quick=quick)
            results.curves.append((curve, points))
            print(f"{report.text_of_curve(curve, points)}    ({time.monotonic() - started_at:.0f} s)", flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
