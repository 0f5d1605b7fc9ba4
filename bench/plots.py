"""The curves as SVG: readable in black and white, by colour-blind people, and the same bytes for the same figures."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from .curves import Curve, Points

# Two of Okabe and Ito's colours, which differ in lightness too; the second line is also dashed.
STYLES = (
    {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    {"color": "#D55E00", "marker": "s", "linestyle": "--"},
)
SETTINGS = {
    "svg.hashsalt": "otto-docker-sync",
    "svg.fonttype": "none",  # text stays text: small files, and the reader's own font
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "path.simplify": True,
}


def draw(curve: Curve, points: Sequence[Points], path: Path) -> None:
    """Write the plot of a curve to `path`. Raises `ImportError` without matplotlib."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    ticker = importlib.import_module("matplotlib.ticker")
    with matplotlib.rc_context(SETTINGS):
        figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
        for each, style in zip(points, STYLES, strict=True):
            sizes = sorted(each.seconds)
            axes.plot(sizes, [each.seconds[size] for size in sizes], label=each.tool, markersize=5, **style)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.set_xticks(sorted(points[0].seconds))
        axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(_seconds))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.minorticks_off()
        axes.set_xlabel(curve.unit)
        axes.set_title(curve.title[0].upper() + curve.title[1:], loc="left")
        axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _seconds(value: float, _: object) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"
