"""Plots of daily statistics, drawn without a display: volatility, volume by price, correlation."""

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.daily_stats.trades import Floats
from training.daily_stats.volatility import SLOTS
from training.daily_stats.volume_profile import BUCKET_BP

SYMBOLS_MAX = 12  # a plot with more lines is unreadable
PANELS_PER_ROW = 3
ANNOTATED_MAX = 12
DARK = 0.7  # cells with a larger absolute correlation have white text


def _new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def most_traded(rows: pl.DataFrame) -> list[str]:
    """The SYMBOLS_MAX symbols with most trades, sorted by name; `rows` has symbol and trades."""
    by_trades = (
        rows.group_by("symbol")
        .agg(pl.col("trades").sum())
        .sort("trades", "symbol", descending=[True, False])
    )
    return sorted(by_trades["symbol"].head(SYMBOLS_MAX).to_list())


def plot_volatility(rows: pl.DataFrame, title: str) -> Figure:
    """Root mean square over the days of the realised volatility of each half hour, in bp.

    `rows` are those of the volatility table.
    """
    figure = _new_figure(10, 5)
    axes: Axes = figure.subplots()
    curves = (
        rows.group_by("symbol", "slot").agg((pl.col("rv_5m") ** 2).mean().sqrt() * 1e4).sort("slot")
    )
    hours = np.arange(SLOTS + 1) / 2
    for symbol in most_traded(rows):
        curve = curves.filter(symbol=symbol)["rv_5m"].fill_null(math.nan)
        axes.stairs(curve, hours, baseline=None, label=symbol)
    axes.set(
        title=title,
        xlabel="hour, UTC",
        ylabel="realised volatility of a half hour, bp",
        xlim=(0, 24),
        xticks=range(0, 25, 3),
    )
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
    return figure


def plot_volume_profile(rows: pl.DataFrame, title: str) -> Figure:
    """Volume by price of one day, a panel per symbol, with bought volume and value area.

    `rows` are those of the profile table.
    """
    symbols = most_traded(rows)
    columns = min(PANELS_PER_ROW, len(symbols))
    lines = math.ceil(len(symbols) / columns)
    figure = _new_figure(4 * columns, 4 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, symbol in zip(panels, symbols, strict=False):
        _draw_profile(axes, rows.filter(symbol=symbol), symbol)
    for axes in panels[len(symbols) :]:
        axes.set_visible(False)
    figure.suptitle(title)
    return figure


def _draw_profile(axes: Axes, buckets: pl.DataFrame, symbol: str) -> None:
    low = buckets["bucket_low"].to_numpy()
    high = buckets["bucket_high"].to_numpy()
    middle = (low + high) / 2
    if len(buckets) > 1:
        # The median, because the outermost buckets end at the day's lowest and highest price.
        thickness = float(np.median(np.diff(middle)))
    else:
        thickness = float(middle[0]) * BUCKET_BP * 1e-4
    axes.barh(middle, buckets["volume"], thickness, color="lightsteelblue", label="volume")
    axes.barh(middle, buckets["buy_volume"], thickness, color="steelblue", label="bought")
    area = buckets.filter("in_value_area")
    axes.axhspan(
        area["bucket_low"][0],
        area["bucket_high"][-1],
        color="gold",
        alpha=0.2,
        zorder=0,
        label="70 % value area",
    )
    point_of_control = float(middle[buckets["is_poc"].to_numpy()][0])
    axes.axhline(point_of_control, color="firebrick", linewidth=1, label="point of control")
    axes.set(title=symbol, xlabel="volume")
    axes.legend(fontsize="x-small")


def plot_correlation(rows: pl.DataFrame, title: str) -> Figure:
    """Mean correlation over the days: Hayashi-Yoshida (left), 5-minute previous tick (right).

    `rows` are those of the correlation table.
    """
    symbols = sorted(set(rows["symbol"]) | set(rows["other"]))
    figure = _new_figure(4 + 0.9 * len(symbols), 2 + 0.45 * len(symbols))
    left, right = figure.subplots(1, 2)
    means = rows.group_by("symbol", "other").agg(
        pl.col("hayashi_yoshida", "previous_tick_5m").mean()
    )
    images = []
    for axes, name, label in (
        (left, "hayashi_yoshida", "Hayashi–Yoshida"),
        (right, "previous_tick_5m", "5-minute previous tick"),
    ):
        matrix = correlation_matrix(means, symbols, name)
        images.append(axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r"))
        axes.set(title=label, xticks=range(len(symbols)), yticks=range(len(symbols)))
        axes.set_xticklabels(symbols, rotation=90, fontsize="x-small")
        axes.set_yticklabels(symbols, fontsize="x-small")
        if len(symbols) <= ANNOTATED_MAX:
            _annotate(axes, matrix)
    figure.colorbar(images[0], ax=(left, right), shrink=0.6)
    figure.suptitle(title)
    return figure


def _annotate(axes: Axes, matrix: Floats) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        axes.text(
            column,
            row,
            "–" if math.isnan(value) else f"{value:.2f}",
            ha="center",
            va="center",
            fontsize="x-small",
            color="white" if abs(value) > DARK else "black",
        )


def correlation_matrix(pairs: pl.DataFrame, symbols: list[str], name: str) -> Floats:
    """Symmetric (symbols × symbols) matrix of column `name`; NaN where a pair has no value.

    `pairs` has the columns symbol, other and `name`, one row per unordered pair.
    """
    matrix = np.full((len(symbols), len(symbols)), math.nan)
    for symbol, other, value in pairs.select("symbol", "other", name).iter_rows():
        row = symbols.index(symbol)
        column = symbols.index(other)
        matrix[row, column] = math.nan if value is None else value
        matrix[column, row] = matrix[row, column]
    return matrix
