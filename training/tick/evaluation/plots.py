"""Equity curves and drawdowns, drawn without a display."""

from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.tick.evaluation import metrics
from training.tick.evaluation.backtest import Backtest

POINTS_MAX = 5000  # more than the pixels of the plot; a year has half a million minutes


def plot_equity(backtests: Mapping[str, Backtest], title: str) -> Figure:
    """Net return since the start (upper) and drawdown (lower) in percent, a line per backtest."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    for name, backtest in backtests.items():
        step = max(1, len(backtest.pnl) // POINTS_MAX)
        minutes = backtest.minute_us[::step].astype("datetime64[us]")
        net_return = metrics.equity(backtest.pnl)[::step] - 1
        drawdown = metrics.drawdowns(backtest.pnl)[::step]
        upper.plot(minutes, 100 * net_return, label=name, linewidth=1)
        lower.plot(minutes, -100 * drawdown, linewidth=1)
    upper.set(title=title, ylabel="net return, %")
    upper.legend(loc="upper left", fontsize="small")
    lower.set(ylabel="drawdown, %", xlabel="UTC")
    lower.tick_params(axis="x", labelrotation=30)
    lower.set_ylim(top=float(np.spacing(1.0)))
    return figure
