"""Backtest of forecasts: positions, trades at the labels' entry prices, and a P&L per decision
time.

A symbol is long or short once |forecast| exceeds half the one-way cost, and keeps its position
until a forecast of the opposite sign does. It is kept through decision times without a row;
after a gap longer than features stay fresh (`stale_s`), it is closed at the last exit price.
"""

from dataclasses import asdict, dataclass
from math import isfinite, nan

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.config.groups.serving import ServingSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US, SECOND_US
from training.tick.data.dataset import decision_grid
from training.tick.evaluation import metrics
from training.tick.evaluation.metrics import Floats

COSTS_BP = (0.0, 0.5, 1.0, 2.0)
BP = 1e-4


@dataclass(frozen=True)
class BacktestReport:
    """Metrics of one backtest at a one-way cost of `cost_bp` basis points; NaN if undefined.

    All net of costs: `sharpe` is annualised as if decision times were a minute apart
    (`decision_grid_s` = 60), `sharpe_daily` from days, `sharpe_minute` is per decision time; `psr`
    is the probability that the true Sharpe ratio is above zero; `total_return` is compounded.

    `turnover` is the capital traded per day in units of the capital, `hit_rate` the share of rows
    with a position that earned before costs, `break_even_bp` the one-way cost at which these trades
    earn nothing, `trades` the number of rows whose position changes at the entry, `days` the UTC
    days with a decision. `ic` is the correlation (Pearson) of forecast and label, `rank_ic` that of
    their ranks (Spearman).
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

    def metrics(self) -> dict[str, float]:
        """All fields by name, for MLflow."""
        return {name: float(value) for name, value in asdict(self).items()}

    def as_dict(self) -> dict[str, float | None]:
        """All fields as JSON values; None if undefined."""
        return {name: value if isfinite(value) else None for name, value in self.metrics().items()}


@dataclass(frozen=True)
class Backtest:
    """Report and series: `minute_us` are all decision times (µs UTC) from first to last,
    `pnl` the return of each."""

    report: BacktestReport
    minute_us: NDArray[np.int64]
    pnl: Floats


def compute_positions(
    test: pl.DataFrame, forecast: Floats, cost_bp: float, settings: ServingSettings
) -> pl.DataFrame:
    """Add position (-1, 0, 1), traded, closed and earned to the rows of `test`.

    `traded` is |change of position| at the entry. `closed` is the size of the position that is
    closed after this row because a gap follows, else 0. `earned` is the gross return from this
    entry to the next one, or before a gap to the row's exit.
    """
    threshold = cost_bp * BP / 2
    gap_us = int(settings.stale_s * SECOND_US)
    signal = pl.when(pl.col("forecast").abs() > threshold).then(pl.col("forecast").sign())
    starts_segment = (pl.col("decision_us").diff().over("symbol") > gap_us).fill_null(True)
    frame = (
        test.with_columns(pl.Series("forecast", forecast))
        .sort("symbol", "decision_us")
        .with_columns(starts_segment.cum_sum().alias("segment"))
    )
    position = pl.col("position")
    frame = frame.with_columns(
        signal.forward_fill().over("segment").fill_null(0.0).alias("position")
    )
    position_before = position.shift(1).over("segment").fill_null(0.0)
    ends_segment = (pl.col("segment") != pl.col("segment").shift(-1)).fill_null(True)
    leave_price = pl.col("entry_price").shift(-1).over("segment").fill_null(pl.col("exit_price"))
    return frame.with_columns(
        (position - position_before).abs().alias("traded"),
        pl.when(ends_segment).then(position.abs()).otherwise(0.0).alias("closed"),
        (position * (leave_price / pl.col("entry_price") - 1)).alias("earned"),
    )


def backtest_forecast(
    test: pl.DataFrame, forecast: Floats, cost_bp: float, settings: Settings
) -> Backtest:
    """Backtest of `forecast`, a log return for each row of `test` (a data set's frame)."""
    positions = compute_positions(test, forecast, cost_bp, settings)
    # The capital is split equally over all symbols, even while some have no rows.
    symbol_count = max(positions["symbol"].n_unique(), 1)
    net = pl.col("earned") - cost_bp * BP * (pl.col("traded") + pl.col("closed"))
    net_pnl = positions.group_by("decision_us").agg(net.sum() / symbol_count).sort("decision_us")
    decision_times = net_pnl["decision_us"].to_numpy()
    minutes = decision_times
    if len(decision_times):
        grid_us = settings.decision_grid_s * SECOND_US
        minutes = decision_grid(int(decision_times[0]), int(decision_times[-1]) + 1, grid_us)
    pnl = np.zeros(len(minutes))
    pnl[np.searchsorted(minutes, decision_times)] = net_pnl["earned"].to_numpy()
    report = _build_report(positions, minutes, pnl, forecast, test["y"].to_numpy(), cost_bp)
    return Backtest(report, minutes, pnl)


def _build_report(
    positions: pl.DataFrame,
    minutes: NDArray[np.int64],
    pnl: Floats,
    forecast: Floats,
    y: Floats,
    cost_bp: float,
) -> BacktestReport:
    daily_pnl = _sum_by_day(minutes, pnl)
    volume = float((positions["traded"] + positions["closed"]).sum())
    earned_in_position = positions.filter(pl.col("position") != 0)["earned"].to_numpy()
    symbol_count = max(positions["symbol"].n_unique(), 1)
    day_count = max(len(daily_pnl), 1)
    return BacktestReport(
        cost_bp=cost_bp,
        sharpe=metrics.sharpe(pnl),
        sharpe_daily=metrics.sharpe(daily_pnl, metrics.DAYS_YEAR),
        sharpe_minute=metrics.sharpe(pnl, 1),
        max_drawdown=metrics.max_drawdown(pnl),
        psr=metrics.psr(pnl),
        total_return=float(metrics.equity(pnl)[-1] - 1) if len(pnl) else nan,
        turnover=volume / symbol_count / day_count,
        hit_rate=float((earned_in_position > 0).mean()) if len(earned_in_position) else nan,
        break_even_bp=float(positions["earned"].sum()) / volume / BP if volume else nan,
        trades=int((positions["traded"] > 0).sum()),
        days=int((positions["decision_us"] // DAY_US).n_unique()),
        ic=metrics.correlation(forecast, y),
        rank_ic=metrics.rank_correlation(forecast, y),
    )


def _sum_by_day(minutes: NDArray[np.int64], pnl: Floats) -> Floats:
    if not len(minutes):
        return pnl
    day = minutes // DAY_US
    return np.bincount(day - day[0], weights=pnl).astype(np.float64)
