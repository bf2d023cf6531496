"""Statistics of a P&L series: closed forms of a few lines, and the published ones from the
libraries that hold them.

Undefined is NaN, never zero and never an exception: the gate refuses what is not a number.
"""

import math

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from purgedcv import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from scipy.stats import rankdata

Floats = NDArray[np.float64]
MINUTES_YEAR = 525_600  # markets that never close; minutes without trading count as zeros
DAYS_YEAR = 365
BOOTSTRAP_BLOCK = 60  # mean block, minutes: an hour, as long as the longest feature window
BOOTSTRAP_DRAWS = 500


def sharpe(pnl: Floats, periods_year: int = MINUTES_YEAR) -> float:
    """Mean over standard deviation, annualised by √periods; NaN for fewer than two values or none
    that differ.
    """
    if len(pnl) < 2 or not np.isfinite(pnl).all():
        return math.nan
    deviation = float(pnl.std())
    return (
        float(pnl.mean()) / deviation * math.sqrt(periods_year) if deviation > 1e-15 else math.nan
    )


def equity(pnl: Floats) -> Floats:
    """Compounded value of 1 after each period; ruin (a loss of everything) stays at zero."""
    return np.asarray(np.maximum(1 + pnl, 0.0)).cumprod()


def drawdowns(pnl: Floats) -> Floats:
    """Share lost since the highest equity so far, the starting 1 included; in [0, 1]."""
    curve = equity(pnl)
    lost: Floats = 1 - curve / np.maximum(np.maximum.accumulate(curve), 1.0)
    return lost


def max_drawdown(pnl: Floats) -> float:
    """Largest drawdown; NaN for an empty series."""
    return float(drawdowns(pnl).max()) if len(pnl) and np.isfinite(pnl).all() else math.nan


def correlation(x: Floats, y: Floats) -> float:
    """Pearson correlation; NaN when one side is constant."""
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman correlation, ties at their mean rank."""
    return correlation(rankdata(x), rankdata(y)) if len(x) else math.nan


def psr(pnl: Floats, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe per period exceeds `benchmark` (Bailey & López de Prado
    2012, eq. 7).
    """
    try:
        return float(probabilistic_sharpe_ratio(pnl, benchmark))
    except ValueError:
        return math.nan  # constant, too short, or moments beyond the approximation


def dsr(pnl: Floats, trial_sharpes: Floats) -> float:
    """PSR against the best of these trials by luck (Bailey & López de Prado 2014); Sharpes per
    period, this one included.
    """
    if not np.isfinite(trial_sharpes).all():
        return math.nan
    spread = float(trial_sharpes.var(ddof=1)) if len(trial_sharpes) > 1 else 0.0
    try:
        return float(deflated_sharpe_ratio(pnl, max(len(trial_sharpes), 1), spread))
    except ValueError:
        return math.nan


def sharpe_interval(pnl: Floats, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the annual Sharpe by the stationary bootstrap (Politis & Romano
    1994)."""
    if math.isnan(sharpe(pnl)):
        return math.nan, math.nan
    draws = StationaryBootstrap(BOOTSTRAP_BLOCK, pnl, seed=seed).apply(
        lambda sample: np.array([sharpe(sample)]), BOOTSTRAP_DRAWS
    )
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
