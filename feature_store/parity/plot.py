"""The parity report as one figure: the largest unexplained error of each column against its
tolerance, and how many values differ why.
"""

import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feature_store.parity.column_diff import TOLERANCE, Line
from feature_store.parity.report import Report

FLOOR, TOP = 1e-17, 1e3  # what is exact is drawn at the floor, what is NULL on one side at the top
INCH_PER_LINE = 0.16
COLOURS = {
    "late": "tab:orange",
    "warm_up": "tab:blue",
    "new_column": "tab:gray",
    "unexplained": "tab:red",
}


def draw(report: Report, title: str) -> Figure:
    """Columns from top to bottom, in the order of the contract; both axes are logarithmic."""
    lines = list(report.lines.values())
    figure = Figure(figsize=(12, max(4.0, 1.5 + INCH_PER_LINE * len(lines))), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    places, errors = range(len(lines)), [_error(line) for line in lines]
    left.scatter(
        errors, places, s=14, c=["tab:red" if line.unexplained else "tab:green" for line in lines]
    )
    left.axvline(TOLERANCE, color="black", linewidth=1, label="tolerance")
    left.set(
        xscale="log",
        xlim=(FLOOR / 3, TOP * 3),
        xlabel="largest error / max(|x|, scale)",
        title=title,
    )
    left.set_yticks(places, [line.name for line in lines], fontsize=6)
    left.legend(loc="upper right", fontsize="small")
    left.set_ylim(len(lines) - 0.5, -0.5)
    start = [0] * len(lines)
    for name, colour in COLOURS.items():
        counts = [getattr(line, name) for line in lines]
        right.barh(places, counts, left=start, color=colour, label=name.replace("_", "-"))
        start = [one + other for one, other in zip(start, counts, strict=True)]
    right.set(
        xlabel="values that differ, by cause",
        xlim=(0, max(1, *start) if start else 1),
        xscale="symlog",
    )
    right.legend(loc="upper right", fontsize="small")
    return figure


def _error(line: Line) -> float:
    relative = line.worst.relative if line.worst else 0.0
    return min(max(relative, FLOOR), TOP) if math.isfinite(relative) else TOP
