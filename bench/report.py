"""The table: as text for a person, as JSON for programs, as CSV for the documentation."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import plots, tools
from .curves import Curve, Points
from .measure import Side
from .rows import ROUND_TRIPS, SECONDS, Row
from .target import Target

GOOD, SHORT = "yes", "no"


@dataclass(frozen=True)
class Outcome:
    """A row, and what was measured."""

    row: Row
    sides: list[Side]

    def figure(self, side: Side) -> float | None:
        """The ratio to the reference; where what was measured is no time, the measured value itself."""
        value, reference = side.median, self.sides[1].median
        if self.row.unit != SECONDS or value is None:
            return value
        return value / reference if reference else None

    @property
    def reached(self) -> str:
        """Whether the library is as good as we want it."""
        figure = self.figure(self.sides[0])
        if self.row.reach is None:
            return ""
        if figure is None:
            return SHORT
        # A part of a round trip is never waited for: it is the inaccuracy of the measurement.
        digits = 1 if self.row.unit == ROUND_TRIPS else 2
        return GOOD if round(figure, digits) <= self.row.reach else SHORT

    @property
    def others(self) -> str:
        """All other tools, the best first, with their figures or why they have none."""
        rest = self.sides[1:] if self.row.unit != SECONDS else self.sides[2:]
        known = sorted((figure, side.name) for side in rest if (figure := self.figure(side)) is not None)
        texts = [f"{name} {figure:.2f}" for figure, name in known]
        return "; ".join([*texts, *(f"{side.name}: {side.reason}" for side in rest if side.reason)])

    @property
    def reference(self) -> str:
        """What counts as 1, and how long it took."""
        if self.row.unit != SECONDS:
            return f"({self.row.unit})"
        side = self.sides[1]
        return side.name if side.median is None else f"{side.name}, {_duration(side.median)}"

    @property
    def ours(self) -> str:
        figure = self.figure(self.sides[0])
        return f"{figure:.2f}" if figure is not None else self.sides[0].reason or "no figure"

    def cells(self) -> list[str]:
        aim = "" if self.row.reach is None else f"{self.row.reach:.2f}"
        return [self.row.title, self.reference, self.ours, aim, self.reached, self.others]


HEADINGS = ["Work", "Reference", "Ours", "Aim", "Reached", "Others"]


@dataclass(frozen=True)
class Results:
    """All that one run has measured. ``facts`` say what of: date, machine, versions."""

    facts: dict[str, str]
    outcomes: list[Outcome]
    curves: list[tuple[Curve, list[Points]]]


def write(results: Results, directory: Path) -> None:
    """Write the results as text, JSON, CSV and plots."""
    directory.mkdir(parents=True, exist_ok=True)
    tables = [text_of_facts(results.facts), text_table(results.outcomes)]
    tables += [text_of_curve(curve, points) for curve, points in results.curves]
    (directory / "table.txt").write_text("".join(tables))
    (directory / "results.json").write_text(json.dumps(_as_json(results), indent=1) + "\n")
    _write_csv(directory / "machine.csv", results.facts.items())
    _write_csv(directory / "table.csv", [HEADINGS, *(outcome.cells() for outcome in results.outcomes)])
    _write_csv(directory / "doublings.csv", _doublings(results.curves))
    for curve, points in results.curves:
        try:
            plots.draw(curve, points, directory / f"{curve.key}.svg")
        except ImportError as error:
            print(f"no plots: {error}")
            break


def copy_to_docs(results: Path, docs: Path) -> None:
    """Copy what the documentation shows. Nothing in there is written by hand."""
    docs.mkdir(exist_ok=True)
    for pattern in ("*.csv", "*.svg"):
        for path in results.glob(pattern):
            shutil.copy(path, docs)


def text_of_facts(facts: dict[str, str]) -> str:
    return "".join(f"{name}: {fact}\n" for name, fact in facts.items())


def text_table(outcomes: Iterable[Outcome]) -> str:
    """The table in lines of text."""
    text = ""
    for outcome in outcomes:
        title, reference, ours, aim, reached, others = outcome.cells()
        verdict = f", aim {aim}: {reached}" if aim else ""
        text += f"\n{title} [{reference}]\n    {ours}{verdict}\n" + (f"    {others}\n" if others else "")
    return text


def text_of_curve(curve: Curve, points: Iterable[Points]) -> str:
    """The seconds at each size, and how they grow when it is doubled."""
    text = f"\n{curve.title}, from size to twice the size\n"
    for each in points:
        sizes = ", ".join(f"{size} {curve.unit}: {_duration(seconds)}" for size, seconds in each.seconds.items())
        text += f"    {each.tool}: {_ratios(each)} ({sizes})\n"
    return text


def _doublings(curves: list[tuple[Curve, list[Points]]]) -> Iterator[list[str]]:
    yield ["Work", "Sizes", "Tool", "Time at the largest", "Time when the size doubles, from the left"]
    for curve, points in curves:
        for each in points:
            sizes = sorted(each.seconds)
            if sizes:
                largest = _duration(each.seconds[sizes[-1]])
                yield [curve.title, f"{sizes[0]} to {sizes[-1]} {curve.unit}", each.tool, largest, _ratios(each)]


def _ratios(points: Points) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in points.doublings) or "no figures"


def _write_csv(path: Path, rows: Iterable[Iterable[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _as_json(results: Results) -> dict[str, Any]:
    rows = [
        {
            "key": outcome.row.key,
            "title": outcome.row.title,
            "unit": outcome.row.unit,
            "aim": outcome.row.reach,
            "reached": outcome.reached,
            "sides": [
                {**asdict(side), "median": side.median, "figure": outcome.figure(side)} for side in outcome.sides
            ],
        }
        for outcome in results.outcomes
    ]
    curves = [
        {
            "key": curve.key,
            "title": curve.title,
            "unit": curve.unit,
            "tools": [{**asdict(each), "doublings": each.doublings} for each in points],
        }
        for curve, points in results.curves
    ]
    return {"facts": results.facts, "rows": rows, "curves": curves}


def facts_of(target: Target, *, quick: bool) -> dict[str, str]:
    """What the figures are of: date, machine, versions."""
    gigabytes = (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 30
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    packages = sorted({getattr(tools, name).package for name in tools.__all__ if name != "Session"} - {""})
    return {
        "Date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC" + (", a quick run" if quick else ""),
        "Machine": f"{os.cpu_count()} cores of {_processor()}, {gigabytes} GiB, {load}",
        "System": f"{_pretty_name()}, Linux {platform.release()}, Python {platform.python_version()}",
        "Docker": target.docker("version", "--format", "client {{.Client.Version}}, server {{.Server.Version}}"),
        "OpenSSH": subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip(),
        "Packages": ", ".join(f"{package} {_version(package)}" for package in packages),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _pretty_name() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", sys.platform)


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
