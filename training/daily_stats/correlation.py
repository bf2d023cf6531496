"""Correlation of symbols that never trade at the same time: Hayashi–Yoshida on all trades, 5-minute
previous-tick alongside it.

Prices sampled every second look uncorrelated, 0.05 where the truth is 0.5 (Epps 1979): most of a
second's move is not traded yet.
"""

import math
from collections.abc import Sequence

import numpy as np

from training.daily_stats.trades import Floats, Ints, Trades
from training.daily_stats.volatility import OFFSETS, STEP_S, realised_variance, two_scale_variance


def previous_tick(paths: Floats, stride: int) -> Floats:
    """Correlation of all overlapping returns over `stride` steps; `paths` is symbols × log prices
    on one grid. Always PSD.
    """
    returns = paths[:, stride:] - paths[:, :-stride]
    cross = returns @ returns.T
    return _normalised(cross, np.diag(cross))


def covariance(one: Trades, other: Trades) -> float:
    """Σ of the products of all returns whose intervals overlap (Hayashi & Yoshida 2005): unbiased
    whatever the trade times.

    The returns of `other` that overlap one return of `one` telescope to a single difference, hence
    n log m and no pairs.
    """
    (times, logs), (others, other_logs) = _one_price_a_time(one), _one_price_a_time(other)
    before = np.maximum(np.searchsorted(others, times[:-1], side="right") - 1, 0)
    after = np.minimum(np.searchsorted(others, times[1:], side="left"), len(others) - 1)
    return float(np.diff(logs) @ (other_logs[after] - other_logs[before]))


def hayashi_yoshida(symbols: Sequence[Trades]) -> Floats:
    """Correlation matrix, projected to PSD; NaN where a symbol does not move.

    Divided by two-scale variances, not by Σ r² of all trades: that one has the bid–ask bounce in it
    and pulls towards 0.
    """
    variances = np.array([_variance(each) for each in symbols])
    cross = np.diag(variances)
    for i, one in enumerate(symbols):
        for j in range(i):
            cross[i, j] = cross[j, i] = covariance(one, symbols[j])
    return nearest(_normalised(cross, variances))


def five_minutes(symbols: Sequence[Trades]) -> Floats:
    """Correlation matrix of 5-minute returns of previous-tick prices at ten offsets; NaN where a
    symbol does not move.
    """
    return previous_tick(np.stack([each.grid(STEP_S) for each in symbols]), OFFSETS)


def nearest(matrix: Floats) -> Floats:
    """A correlation matrix near `matrix`: negative eigenvalues cut, unit diagonal restored
    (Rebonato & Jäckel 1999).

    Rows of NaN stay; a matrix that is PSD already is returned as it is.
    """
    known = np.flatnonzero(~np.isnan(np.diag(matrix)))
    inner = matrix[np.ix_(known, known)]
    values, vectors = np.linalg.eigh(inner)
    if not len(known) or values[0] >= 0:
        return matrix
    root = vectors * np.sqrt(np.maximum(values, 0))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    made = matrix.copy()
    made[np.ix_(known, known)] = np.clip(root @ root.T, -1, 1)
    made[known, known] = 1.0
    return made


def _variance(trades: Trades) -> float:
    precise = two_scale_variance(trades.logs)
    return float(realised_variance(trades.grid(STEP_S))) if math.isnan(precise) else precise


def _normalised(cross: Floats, variances: Floats) -> Floats:
    scale = np.sqrt(np.where(variances > 0, variances, math.nan))
    made = cross / scale[:, None] / scale[None, :]
    np.fill_diagonal(made, np.where(np.isnan(scale), math.nan, 1.0))
    return np.asarray(made)


def _one_price_a_time(trades: Trades) -> tuple[Ints, Floats]:
    """Times and log prices without ties: of trades at one time the last one counts."""
    last = np.append(trades.times_us[1:] != trades.times_us[:-1], True)
    return trades.times_us[last], trades.logs[last]
