"""Figure of a parity report: largest error per column, and the number of differences by cause.

Errors are the unexplained ones, drawn against the tolerance.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
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
    left.set_title(title)
    _draw_errors(left, diffs)
    _draw_counts(right, diffs)
    return figure


def _draw_errors(axes: Axes, diffs: Sequence[ColumnDiff]) -> None:
    """The largest error of each column as a point, red where one has no explanation."""
    places = range(len(diffs))
    errors = np.clip([diff.largest_error for diff in diffs], FLOOR, TOP)
    colours = ["tab:red" if diff.unexplained else "tab:green" for diff in diffs]
    axes.scatter(errors, places, s=14, c=colours)
    axes.axvline(TOLERANCE, color="black", linewidth=1, label="tolerance")
    axes.set(xscale="log", xlim=(FLOOR / 3, TOP * 3), xlabel="largest error / max(|x|, scale)")
    axes.set_yticks(places, [diff.name for diff in diffs], fontsize=6)
    axes.legend(loc="upper right", fontsize="small")
    axes.set_ylim(max(len(diffs), 1) - 0.5, -0.5)


def _draw_counts(axes: Axes, diffs: Sequence[ColumnDiff]) -> None:
    """The number of values that differ in each column, as bars stacked by cause."""
    places, start = range(len(diffs)), np.zeros(len(diffs))
    for name, colour in COLOURS.items():
        counts = np.array([getattr(diff, name) for diff in diffs], dtype=float)
        axes.barh(places, counts, left=start, color=colour, label=name.replace("_", "-"))
        start = start + counts
    widest = start.max(initial=1)
    axes.set(xlabel="values that differ, by cause", xlim=(0, widest), xscale="symlog")
    axes.legend(loc="upper right", fontsize="small")
