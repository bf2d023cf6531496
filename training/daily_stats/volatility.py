"""Volatility of one symbol's day from its trades: 5-minute realised, two-scale and bipower
variance, and the half-hour curve.

Variances are in log², a day's or a half hour's own, not annualised. Undefined is NaN.
"""

import math

import numpy as np

from training.daily_stats.trades import DAY_US, SECOND_US, Floats, Trades

STEP_S = 30
OFFSETS = 10  # 5 minutes in steps of 30 s
SLOT_S = 1800
SLOTS = DAY_US // (SLOT_S * SECOND_US)
INTERVALS = DAY_US // (STEP_S * OFFSETS * SECOND_US)  # 5-minute intervals of a day
MINUTES = DAY_US // (60 * SECOND_US)
TRADES_MIN = 10


def realised_variance(path: Floats) -> Floats:
    """Σ r² of 5-minute returns, averaged over ten offsets (Zhang, Mykland & Aït-Sahalia 2005, their
    second best estimator).

    `path`: log prices every 30 s along the last axis, both ends included. Each offset also takes
    the shorter intervals at its two ends, so that all ten cover the whole span and none is biased.
    """
    offsets = (
        np.concatenate([path[..., :1], path[..., k::OFFSETS], path[..., -1:]], axis=-1)
        for k in range(OFFSETS)
    )
    return np.asarray(
        np.mean([(np.diff(each, axis=-1) ** 2).sum(axis=-1) for each in offsets], axis=0)
    )


def bipower_variance(path: Floats) -> float:
    """π/2 · Σ |r_i||r_{i−1}| of 5-minute returns over ten offsets, which a jump barely moves
    (Barndorff-Nielsen & Shephard 2004).

    Scaled from the pairs that an offset has to the 288 intervals of a day.
    """
    returns = (np.abs(np.diff(path[k::OFFSETS])) for k in range(OFFSETS))
    means = [float((each[1:] * each[:-1]).mean()) for each in returns]
    return math.pi / 2 * INTERVALS * float(np.mean(means))


def two_scale_variance(logs: Floats) -> float:
    """TSRV with small-sample correction (Zhang, Mykland & Aït-Sahalia 2005) of the log prices of
    all trades.

    The slow scale is the number of trades in an average minute, at least 2; independent noise such
    as bid–ask bounce cancels against the fast scale. Half as noisy as `realised_variance`. NaN
    below ten trades, or when noise leaves nothing above zero.
    """
    count = len(logs) - 1
    if count + 1 < TRADES_MIN:
        return math.nan
    slow = max(2, round(count / MINUTES))
    share = (count - slow + 1) / slow / count
    average = float(((logs[slow:] - logs[:-slow]) ** 2).sum()) / slow
    variance = (average - share * float((np.diff(logs) ** 2).sum())) / (1 - share)
    return variance if variance >= 0 else math.nan


def daily(trades: Trades) -> dict[str, float]:
    """rv_5m, tsrv and bipower as volatilities (√variance, log per day); NaN for a day with a single
    trade.
    """
    if len(trades.times_us) < 2:
        return dict.fromkeys(("rv_5m", "tsrv", "bipower"), math.nan)
    path = trades.grid(STEP_S)
    variances = {
        "rv_5m": float(realised_variance(path)),
        "tsrv": two_scale_variance(trades.logs),
        "bipower": bipower_variance(path),
    }
    return {name: math.sqrt(variance) for name, variance in variances.items()}


def half_hours(trades: Trades) -> dict[str, Floats]:
    """Per half hour of the day: trades, volume, and rv_5m (log per half hour; NaN without a trade),
    48 values each.
    """
    slot = (trades.times_us - trades.day_us) // (SLOT_S * SECOND_US)
    count = np.bincount(slot, minlength=SLOTS).astype(np.float64)
    steps = SLOT_S // STEP_S
    paths = trades.grid(STEP_S)[np.arange(SLOTS)[:, None] * steps + np.arange(steps + 1)]
    curve = np.where(
        (count > 0) & (len(trades.times_us) > 1), np.sqrt(realised_variance(paths)), np.nan
    )
    return {"trades": count, "volume": np.bincount(slot, trades.sizes, SLOTS), "rv_5m": curve}
