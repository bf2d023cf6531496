"""What a forecast would have earned: positions, trades at the label's own entry prices, one P&L per
minute of the calendar.

A symbol is long or short from the moment |forecast| exceeds half the one-way cost, and holds until
the opposite. Minutes without a decision are held through; a silence longer than features stay
usable closes the position at the last exit price.
"""

from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.config.settings import Settings
from training.tick import metrics
from training.tick.dataset import SECOND_US, decisions
from training.tick.split import DAY_US

Floats = NDArray[np.float64]
COSTS_BP = (0.0, 0.5, 1.0, 2.0)
BP = 1e-4


@dataclass(frozen=True)
class Report:
    """The numbers of one backtest at one cost. Sharpes are annual and net of cost; undefined is
    NaN.

    `turnover`: units of capital traded per day. `hit_rate`: share of held minutes that earned,
    before cost. `break_even_bp`: the one-way cost at which these trades earn nothing. `days`:
    distinct UTC days with a decision.
    """

    cost_bp: float
    sharpe: float
    sharpe_daily: float
    sharpe_minute: float
    max_drawdown: float
    psr: float
    total_return: float
    turnover: float
    hit_rate: float
    break_even_bp: float
    trades: int
    days: int
    ic: float
    rank_ic: float

    def numbers(self) -> dict[str, float]:
        """Every number by name, as metrics are logged."""
        return {name: float(value) for name, value in asdict(self).items()}

    def plain(self) -> dict[str, float | None]:
        """The same as JSON knows them: None for what is undefined."""
        return {name: value if isfinite(value) else None for name, value in self.numbers().items()}


@dataclass(frozen=True)
class Backtest:
    """A report and the series behind it: `minute_us` (every grid minute of the window) and `pnl`,
    the return in each.
    """

    report: Report
    minute_us: NDArray[np.int64]
    pnl: Floats


def positions(
    test: pl.DataFrame, forecast: Floats, cost_bp: float, settings: Settings
) -> pl.DataFrame:
    """`test` with position (−1, 0, 1), traded (|change| at the entry), closed (|position| given up
    after the row), earned.

    `earned` is the gross return from this entry to the next one of the same run, or to the own exit
    at the run's end.
    """
    threshold = cost_bp * BP / 2
    silence_us = int(settings.stale_s * SECOND_US)
    signal = pl.when(pl.col("forecast").abs() > threshold).then(pl.col("forecast").sign())
    starts = (pl.col("decision_us").diff().over("symbol") > silence_us).fill_null(True)
    frame = (
        test.with_columns(pl.Series("forecast", forecast))
        .sort("symbol", "decision_us")
        .with_columns(starts.cum_sum().alias("run"))
    )
    frame = frame.with_columns(signal.forward_fill().over("run").fill_null(0.0).alias("position"))
    before = pl.col("position").shift(1).over("run").fill_null(0.0)
    ends = pl.col("run") != pl.col("run").shift(-1)
    leave = pl.col("entry_price").shift(-1).over("run").fill_null(pl.col("exit_price"))
    return frame.with_columns(
        (pl.col("position") - before).abs().alias("traded"),
        pl.when(ends.fill_null(True)).then(pl.col("position").abs()).otherwise(0.0).alias("closed"),
        (pl.col("position") * (leave / pl.col("entry_price") - 1)).alias("earned"),
    )


def run(test: pl.DataFrame, forecast: Floats, cost_bp: float, settings: Settings) -> Backtest:
    """Backtest of `forecast` (log return per row of `test`, a dataset's frame) at a one-way cost in
    basis points.
    """
    held = positions(test, forecast, cost_bp, settings)
    symbols = max(
        held["symbol"].n_unique(), 1
    )  # capital is split over all of them, also when one is silent
    net = pl.col("earned") - cost_bp * BP * (pl.col("traded") + pl.col("closed"))
    by_minute = held.group_by("decision_us").agg(net.sum() / symbols).sort("decision_us")
    minutes, net_pnl = by_minute["decision_us"].to_numpy(), by_minute["earned"].to_numpy()
    grid_us = settings.decision_grid_s * SECOND_US
    calendar = (
        decisions(int(minutes[0]), int(minutes[-1]) + 1, grid_us) if len(minutes) else minutes
    )
    pnl = np.zeros(len(calendar))
    pnl[np.searchsorted(calendar, minutes)] = net_pnl
    return Backtest(
        _report(held, calendar, pnl, forecast, test["y"].to_numpy(), cost_bp), calendar, pnl
    )


def _report(
    held: pl.DataFrame,
    calendar: NDArray[np.int64],
    pnl: Floats,
    forecast: Floats,
    y: Floats,
    cost_bp: float,
) -> Report:
    day = calendar // DAY_US
    daily: Floats = np.bincount(day - day[0], weights=pnl).astype(np.float64) if len(day) else pnl
    volume = float((held["traded"] + held["closed"]).sum())
    busy = held.filter(pl.col("position") != 0)["earned"].to_numpy()
    symbols, span_days = max(held["symbol"].n_unique(), 1), max(len(daily), 1)
    return Report(
        cost_bp=cost_bp,
        sharpe=metrics.sharpe(pnl),
        sharpe_daily=metrics.sharpe(daily, metrics.DAYS_YEAR),
        sharpe_minute=metrics.sharpe(pnl, 1),
        max_drawdown=metrics.max_drawdown(pnl),
        psr=metrics.psr(pnl),
        total_return=float(metrics.equity(pnl)[-1] - 1) if len(pnl) else float("nan"),
        turnover=volume / symbols / span_days,
        hit_rate=float((busy > 0).mean()) if len(busy) else float("nan"),
        break_even_bp=float(held["earned"].sum()) / volume / BP if volume else float("nan"),
        trades=int((held["traded"] > 0).sum()),
        days=int((held["decision_us"] // DAY_US).n_unique()),
        ic=metrics.correlation(forecast, y),
        rank_ic=metrics.rank_correlation(forecast, y),
    )
