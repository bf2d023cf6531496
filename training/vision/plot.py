"""The confusion matrix of a classifier, drawn without a screen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["Figure", "confusion"]


def confusion(
    actual: NDArray[Any], answers: NDArray[Any], labels: Sequence[str], title: str
) -> Figure:
    """Images by their label (rows) and by the most probable one (columns); `actual` (rows),
    `answers` (rows × labels).
    """
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (actual, answers.argmax(axis=1)), 1)
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", norm="symlog")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if row == column else "black",
            )
    axes.set_xticks(range(len(labels)), labels, rotation=45)
    axes.set_yticks(range(len(labels)), labels)
    accuracy = np.trace(counts) / max(1, counts.sum())
    axes.set(
        title=f"{title}: {accuracy:.2%} of {counts.sum():,} test images",
        xlabel="answer",
        ylabel="label",
    )
    return figure
