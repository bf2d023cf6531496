"""Confusion matrix of a classifier, drawn without a display."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["Figure", "confusion_counts", "plot_confusion"]


def confusion_counts(
    actual: NDArray[Any], probabilities: NDArray[Any], label_count: int
) -> NDArray[np.int64]:
    """Images by label (rows) and most probable label (columns), shape (labels, labels).

    `actual` is (rows,) of label numbers, `probabilities` (rows × labels).
    """
    counts = np.zeros((label_count, label_count), dtype=np.int64)
    np.add.at(counts, (actual, probabilities.argmax(axis=1)), 1)
    return counts


def plot_confusion(
    actual: NDArray[Any], probabilities: NDArray[Any], labels: Sequence[str], title: str
) -> Figure:
    """Plot `confusion_counts`, with the accuracy in the title."""
    counts = confusion_counts(actual, probabilities, len(labels))
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", norm="symlog")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if row == column else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(labels)), labels, rotation=45)
    axes.set_yticks(range(len(labels)), labels)
    accuracy = np.trace(counts) / max(1, counts.sum())
    axes.set(
        title=f"{title}: {accuracy:.2%} of {counts.sum():,} test images",
        xlabel="predicted label",
        ylabel="label",
    )
    return figure
