"""Pictures of daily statistics, drawn without a screen: volatility over the day, volume by price,
correlation.
"""

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.daily_stats.trades import Floats
from training.daily_stats.volatility import SLOTS
from training.daily_stats.volume_profile import BUCKET_BP

SYMBOLS_MAX = 12  # a picture of more lines cannot be read; those with most trades are shown
PANELS_A_ROW = 3
ANNOTATED_MAX = 12
DARK = 0.7


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def shown(rows: pl.DataFrame) -> list[str]:
    """The symbols of a picture, by name: those with most trades in `rows` (columns symbol,
    trades)."""
    busiest = (
        rows.group_by("symbol")
        .agg(pl.col("trades").sum())
        .sort("trades", "symbol", descending=[True, False])
    )
    return sorted(busiest["symbol"].head(SYMBOLS_MAX).to_list())


def volatility_curve(rows: pl.DataFrame, title: str) -> Figure:
    """Root mean square over the days of each half hour's 5-minute realised volatility, in bp; rows
    of the volatility table.
    """
    figure = _figure(10, 5)
    axes: Axes = figure.subplots()
    curves = (
        rows.group_by("symbol", "slot").agg((pl.col("rv_5m") ** 2).mean().sqrt() * 1e4).sort("slot")
    )
    for symbol in shown(rows):
        curve = curves.filter(symbol=symbol)
        axes.stairs(
            curve["rv_5m"].fill_null(math.nan),
            np.arange(SLOTS + 1) / 2,
            baseline=None,
            label=symbol,
        )
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


def volume_profile(rows: pl.DataFrame, title: str) -> Figure:
    """Volume by price of one day, a panel per symbol: bought (solid) within all; value area shaded;
    rows of the profile table.
    """
    symbols = shown(rows)
    across = min(PANELS_A_ROW, len(symbols))
    down = math.ceil(len(symbols) / across)
    figure = _figure(4 * across, 4 * down)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, symbol in zip(panels, symbols, strict=False):
        _profile_panel(axes, rows.filter(symbol=symbol), symbol)
    for axes in panels[len(symbols) :]:
        axes.set_visible(False)
    figure.suptitle(title)
    return figure


def _profile_panel(axes: Axes, bars: pl.DataFrame, symbol: str) -> None:
    low, high = bars["bucket_low"].to_numpy(), bars["bucket_high"].to_numpy()
    middle = (low + high) / 2
    # the outermost buckets are cut off where the day ends, hence the median
    thick = (
        float(np.median(np.diff(middle))) if len(bars) > 1 else float(middle[0]) * BUCKET_BP * 1e-4
    )
    axes.barh(middle, bars["volume"], thick, color="lightsteelblue", label="volume")
    axes.barh(middle, bars["buy_volume"], thick, color="steelblue", label="bought")
    area = bars.filter("in_value_area")
    axes.axhspan(
        area["bucket_low"][0],
        area["bucket_high"][-1],
        color="gold",
        alpha=0.2,
        zorder=0,
        label="70 % value area",
    )
    axes.axhline(
        float(middle[bars["is_poc"].to_numpy()][0]),
        color="firebrick",
        linewidth=1,
        label="point of control",
    )
    axes.set(title=symbol, xlabel="volume")
    axes.legend(fontsize="x-small")


def correlation_map(rows: pl.DataFrame, title: str) -> Figure:
    """Mean correlation over the days: Hayashi–Yoshida (left) and 5-minute previous-tick (right);
    rows of the correlation table.
    """
    symbols = sorted(set(rows["symbol"]) | set(rows["other"]))
    figure = _figure(4 + 0.9 * len(symbols), 2 + 0.45 * len(symbols))
    both = figure.subplots(1, 2)
    means = rows.group_by("symbol", "other").agg(
        pl.col("hayashi_yoshida", "previous_tick_5m").mean()
    )
    for axes, name, label in zip(
        both,
        ("hayashi_yoshida", "previous_tick_5m"),
        ("Hayashi–Yoshida", "5-minute previous tick"),
        strict=True,
    ):
        matrix = _matrix(means, symbols, name)
        image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set(title=label, xticks=range(len(symbols)), yticks=range(len(symbols)))
        axes.set_xticklabels(symbols, rotation=90, fontsize="x-small")
        axes.set_yticklabels(symbols, fontsize="x-small")
        if len(symbols) <= ANNOTATED_MAX:
            for (i, j), value in np.ndenumerate(matrix):
                axes.text(
                    j,
                    i,
                    "–" if math.isnan(value) else f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize="x-small",
                    color="white" if abs(value) > DARK else "black",
                )
    figure.colorbar(image, ax=both, shrink=0.6)
    figure.suptitle(title)
    return figure


def _matrix(means: pl.DataFrame, symbols: list[str], name: str) -> Floats:
    matrix = np.full((len(symbols), len(symbols)), math.nan)
    for symbol, other, value in means.select("symbol", "other", name).iter_rows():
        i, j = symbols.index(symbol), symbols.index(other)
        matrix[i, j] = matrix[j, i] = math.nan if value is None else value
    return matrix
