"""Statistics of a P&L series.

`pnl` is always an array (periods,) of returns per period. An undefined statistic is NaN, never zero
and never an exception, so that the gate refuses it.
"""

import math

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray
from purgedcv import deflated_sharpe_ratio, probabilistic_sharpe_ratio
from scipy.stats import rankdata

Floats = NDArray[np.float64]
# Of markets that never close; minutes without a trade count as zeros. Annualisation assumes a
# period of a minute, i.e. `decision_grid_s` = 60.
MINUTES_YEAR = 525_600
DAYS_YEAR = 365
BOOTSTRAP_BLOCK = 60  # mean block in periods: one hour of minutes, the longest feature window
BOOTSTRAP_DRAWS = 500
DEVIATION_MIN = 1e-15  # below, the returns are equal up to rounding


def sharpe(pnl: Floats, periods_year: int = MINUTES_YEAR) -> float:
    """Annualised Sharpe ratio mean / deviation × √periods (Sharpe 1994), without a risk-free rate.

    NaN for fewer than two values, equal values, or values that are not finite.
    """
    if len(pnl) < 2 or not np.isfinite(pnl).all():
        return math.nan
    deviation = float(pnl.std())
    if deviation <= DEVIATION_MIN:
        return math.nan
    return float(pnl.mean()) / deviation * math.sqrt(periods_year)


def equity(pnl: Floats) -> Floats:
    """Compounded value (periods,) of an initial 1; stays 0 after a loss of 100 % or more."""
    return np.asarray(np.maximum(1 + pnl, 0.0)).cumprod()


def drawdowns(pnl: Floats) -> Floats:
    """Share (periods,) lost since the highest equity, which is at least the initial 1; 0 to 1."""
    curve = equity(pnl)
    peak = np.maximum(np.maximum.accumulate(curve), 1.0)
    lost: Floats = 1 - curve / peak
    return lost


def max_drawdown(pnl: Floats) -> float:
    """Largest drawdown; NaN for an empty series or values that are not finite."""
    return float(drawdowns(pnl).max()) if len(pnl) and np.isfinite(pnl).all() else math.nan


def correlation(x: Floats, y: Floats) -> float:
    """Pearson correlation; NaN if one side is constant or there are fewer than two values."""
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman correlation; ties have their mean rank."""
    return correlation(rankdata(x), rankdata(y)) if len(x) else math.nan


def psr(pnl: Floats, benchmark: float = 0.0) -> float:
    """Probabilistic Sharpe ratio: probability that the true one per period exceeds `benchmark`.

    Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier", eq. 7. NaN for constant
    or too short series, and for moments outside of the approximation.
    """
    try:
        return float(probabilistic_sharpe_ratio(pnl, benchmark))
    except ValueError:
        return math.nan


def dsr(pnl: Floats, training_sharpes: Floats) -> float:
    """Deflated Sharpe ratio: PSR against the expected best of these trainings without any skill.

    `training_sharpes` are Sharpe ratios per period, including that of `pnl`. Bailey and López de
    Prado (2014), "The Deflated Sharpe Ratio".
    """
    if not np.isfinite(training_sharpes).all():
        return math.nan
    variance = float(training_sharpes.var(ddof=1)) if len(training_sharpes) > 1 else 0.0
    try:
        return float(deflated_sharpe_ratio(pnl, max(len(training_sharpes), 1), variance))
    except ValueError:
        return math.nan


def sharpe_interval(pnl: Floats, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the annualised Sharpe ratio by the stationary bootstrap.

    Politis and Romano (1994), "The Stationary Bootstrap", with blocks of BOOTSTRAP_BLOCK periods.
    """
    if math.isnan(sharpe(pnl)):
        return math.nan, math.nan
    draws = StationaryBootstrap(BOOTSTRAP_BLOCK, pnl, seed=seed).apply(
        lambda sample: np.array([sharpe(sample)]), BOOTSTRAP_DRAWS
    )
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
