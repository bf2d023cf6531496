"""Figure of a parity report: largest error per column, and the number of differences by cause.

Errors are the unexplained ones, drawn against the tolerance.
"""

import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feature_store.parity.column_diff import TOLERANCE, ColumnDiff
from feature_store.parity.report import ParityReport

FLOOR, TOP = 1e-17, 1e3  # exact values are drawn at the floor, NULL on one side at the top
INCH_PER_LINE = 0.16
COLOURS = {
    "late": "tab:orange",
    "warm_up": "tab:blue",
    "new_column": "tab:gray",
    "unexplained": "tab:red",
}


def draw(report: ParityReport, title: str) -> Figure:
    """Columns from top to bottom in the contract's order; both axes are logarithmic."""
    diffs = list(report.diffs.values())
    figure = Figure(figsize=(12, max(4.0, 1.5 + INCH_PER_LINE * len(diffs))), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    places, errors = range(len(diffs)), [_error(diff) for diff in diffs]
    left.scatter(
        errors, places, s=14, c=["tab:red" if diff.unexplained else "tab:green" for diff in diffs]
    )
    left.axvline(TOLERANCE, color="black", linewidth=1, label="tolerance")
    left.set(
        xscale="log",
        xlim=(FLOOR / 3, TOP * 3),
        xlabel="largest error / max(|x|, scale)",
        title=title,
    )
    left.set_yticks(places, [diff.name for diff in diffs], fontsize=6)
    left.legend(loc="upper right", fontsize="small")
    left.set_ylim(len(diffs) - 0.5, -0.5)
    start = [0] * len(diffs)
    for name, colour in COLOURS.items():
        counts = [getattr(diff, name) for diff in diffs]
        right.barh(places, counts, left=start, color=colour, label=name.replace("_", "-"))
        start = [one + other for one, other in zip(start, counts, strict=True)]
    right.set(
        xlabel="values that differ, by cause",
        xlim=(0, max(1, *start) if start else 1),
        xscale="symlog",
    )
    right.legend(loc="upper right", fontsize="small")
    return figure


def _error(diff: ColumnDiff) -> float:
    relative = diff.worst.relative if diff.worst else 0.0
    return min(max(relative, FLOOR), TOP) if math.isfinite(relative) else TOP
