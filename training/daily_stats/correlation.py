"""Correlation of symbols that trade asynchronously: Hayashi-Yoshida, and 5-minute previous tick.

Returns of prices sampled every second look uncorrelated (0.05 instead of 0.5 in the tests), because
most of a second's move has not been traded yet: the Epps effect (Epps 1979).
"""

import math
from collections.abc import Sequence

import numpy as np

from training.daily_stats.trades import Floats, Ints, Trades
from training.daily_stats.volatility import OFFSETS, STEP_S, realised_variance, two_scale_variance


def previous_tick_correlation(paths: Floats, stride: int) -> Floats:
    """Correlation matrix of all overlapping returns over `stride` steps.

    `paths` is (symbols × steps) of log prices on one grid. The (symbols × symbols) result is
    positive semi-definite.
    """
    returns = paths[:, stride:] - paths[:, :-stride]
    covariances = returns @ returns.T
    return _normalise(covariances, np.diag(covariances))


def hayashi_yoshida_covariance(one: Trades, other: Trades) -> float:
    """Σ of the products of all returns whose intervals overlap, unbiased for any trade times.

    The returns of `other` that overlap one return of `one` telescope to a single difference, so it
    takes O(n log m). Hayashi and Yoshida (2005), "On Covariance Estimation of Non-synchronously
    Observed Diffusion Processes".
    """
    times_us, log_prices = _without_ties(one)
    other_times_us, other_log_prices = _without_ties(other)
    last_row = len(other_times_us) - 1
    start = np.searchsorted(other_times_us, times_us[:-1], side="right") - 1
    end = np.searchsorted(other_times_us, times_us[1:], side="left")
    overlapping = (
        other_log_prices[np.minimum(end, last_row)] - other_log_prices[np.maximum(start, 0)]
    )
    return float(np.diff(log_prices) @ overlapping)


def hayashi_yoshida(symbols: Sequence[Trades]) -> Floats:
    """(symbols × symbols) correlation, positive semi-definite; NaN where a price is constant.

    Divides by two-scale variances: Σ r² of all trades includes the bid-ask bounce and would bias
    the correlations towards 0.
    """
    variances = np.array([_variance(each) for each in symbols])
    covariances = np.diag(variances)
    for row, one in enumerate(symbols):
        for column in range(row):
            covariance = hayashi_yoshida_covariance(one, symbols[column])
            covariances[row, column] = covariance
            covariances[column, row] = covariance
    return nearest_correlation(_normalise(covariances, variances))


def five_minute_correlation(symbols: Sequence[Trades]) -> Floats:
    """(symbols × symbols) correlation of 5-minute previous-tick returns at ten offsets.

    NaN where a price is constant.
    """
    paths = np.stack([each.log_price_grid(STEP_S) for each in symbols])
    return previous_tick_correlation(paths, OFFSETS)


def nearest_correlation(matrix: Floats) -> Floats:
    """Positive semi-definite correlation matrix close to `matrix`.

    Cuts negative eigenvalues and restores the unit diagonal: the spectral decomposition of Rebonato
    and Jäckel (1999), "The Most General Methodology to Create a Valid Correlation Matrix". Rows of
    NaN stay; a positive semi-definite matrix is returned unchanged.
    """
    defined = np.flatnonzero(~np.isnan(np.diag(matrix)))
    block = np.ix_(defined, defined)
    eigenvalues, eigenvectors = np.linalg.eigh(matrix[block])
    if not len(defined) or eigenvalues[0] >= 0:
        return matrix
    root = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    nearest = matrix.copy()
    nearest[block] = np.clip(root @ root.T, -1, 1)
    nearest[defined, defined] = 1.0
    return nearest


def _variance(trades: Trades) -> float:
    variance = two_scale_variance(trades.log_prices)
    if math.isnan(variance):
        return float(realised_variance(trades.log_price_grid(STEP_S)))
    return variance


def _normalise(covariances: Floats, variances: Floats) -> Floats:
    deviations = np.sqrt(np.where(variances > 0, variances, math.nan))
    correlations = covariances / deviations[:, None] / deviations[None, :]
    np.fill_diagonal(correlations, np.where(np.isnan(deviations), math.nan, 1.0))
    return np.asarray(correlations)


def _without_ties(trades: Trades) -> tuple[Ints, Floats]:
    """Times and log prices; of trades at the same time the last one counts."""
    is_last = np.append(trades.times_us[1:] != trades.times_us[:-1], True)
    return trades.times_us[is_last], trades.log_prices[is_last]
