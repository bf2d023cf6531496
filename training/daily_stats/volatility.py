"""Volatility of one symbol's day: realised, two-scale and bipower variance, half-hour curve.

Variances are in squared log returns per day (or half hour), not annualised; NaN if undefined.
"""

import math

import numpy as np

from contracts.durations import DAY_US, SECOND_US
from training.daily_stats.trades import Floats, Trades

STEP_S = 30
OFFSETS = 10  # 5 minutes in steps of 30 s
SLOT_S = 1800
SLOTS = DAY_US // (SLOT_S * SECOND_US)
INTERVALS = DAY_US // (STEP_S * OFFSETS * SECOND_US)  # 5-minute intervals of a day
MINUTES = DAY_US // (60 * SECOND_US)
TRADES_MIN = 10


def realised_variance(path: Floats) -> Floats:
    """Σ r² of 5-minute returns, averaged over ten offsets.

    `path` are log prices every 30 s along the last axis, both ends included; the result has the
    other axes. Each offset includes the shorter intervals at its two ends, so that all of them
    cover the whole span without bias. The "second-best" estimator of Zhang, Mykland and
    Aït-Sahalia (2005), "A Tale of Two Time Scales".
    """
    sampled = (
        np.concatenate([path[..., :1], path[..., offset::OFFSETS], path[..., -1:]], axis=-1)
        for offset in range(OFFSETS)
    )
    sums = [(np.diff(each, axis=-1) ** 2).sum(axis=-1) for each in sampled]
    return np.asarray(np.mean(sums, axis=0))


def bipower_variance(path: Floats) -> float:
    """π/2 · Σ |r_i||r_(i-1)| of 5-minute returns over ten offsets; robust against jumps.

    `path` as in `realised_variance`, of one day. Scaled from the pairs of an offset to the 288
    intervals of a day. Barndorff-Nielsen and Shephard (2004), "Power and Bipower Variation".
    """
    returns = [np.abs(np.diff(path[offset::OFFSETS])) for offset in range(OFFSETS)]
    means = [float((each[1:] * each[:-1]).mean()) for each in returns]
    return math.pi / 2 * INTERVALS * float(np.mean(means))


def two_scale_variance(log_prices: Floats) -> float:
    """TSRV of the log prices of all trades, with the small-sample correction.

    The slow scale is the number of trades in an average minute, at least 2. Independent noise, such
    as bid-ask bounce, cancels against the fast scale. Its error is half that of
    `realised_variance`. NaN for fewer than ten trades, or if the noise exceeds the signal. Zhang,
    Mykland and Aït-Sahalia (2005), "A Tale of Two Time Scales".
    """
    count = len(log_prices) - 1
    if count + 1 < TRADES_MIN:
        return math.nan
    slow = max(2, round(count / MINUTES))
    noise_share = (count - slow + 1) / slow / count
    slow_sum = float(((log_prices[slow:] - log_prices[:-slow]) ** 2).sum()) / slow
    fast_sum = float((np.diff(log_prices) ** 2).sum())
    variance = (slow_sum - noise_share * fast_sum) / (1 - noise_share)
    return variance if variance >= 0 else math.nan


def daily_volatility(trades: Trades) -> dict[str, float]:
    """rv_5m, tsrv and bipower as volatilities (√variance, log returns per day).

    NaN for a day with a single trade.
    """
    if len(trades.times_us) < 2:
        return dict.fromkeys(("rv_5m", "tsrv", "bipower"), math.nan)
    path = trades.log_price_grid(STEP_S)
    return {
        "rv_5m": math.sqrt(float(realised_variance(path))),
        "tsrv": math.sqrt(two_scale_variance(trades.log_prices)),
        "bipower": math.sqrt(bipower_variance(path)),
    }


def half_hour_curve(trades: Trades) -> dict[str, Floats]:
    """trades, volume and rv_5m of each half hour, (48,) each.

    rv_5m is in log returns per half hour, NaN without a trade.
    """
    slot = (trades.times_us - trades.day_us) // (SLOT_S * SECOND_US)
    count = np.bincount(slot, minlength=SLOTS).astype(np.float64)
    steps = SLOT_S // STEP_S
    slot_steps = np.arange(SLOTS)[:, None] * steps + np.arange(steps + 1)
    paths = trades.log_price_grid(STEP_S)[slot_steps]
    is_defined = (count > 0) & (len(trades.times_us) > 1)
    return {
        "trades": count,
        "volume": np.bincount(slot, trades.sizes, SLOTS),
        "rv_5m": np.where(is_defined, np.sqrt(realised_variance(paths)), np.nan),
    }
