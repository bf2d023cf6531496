"""Metrics against loops and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tick.evaluation import metrics

returns = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30)


@given(returns)
def test_equity_and_drawdown_are_those_of_a_loop(values):
    value, peak, worst = 1.0, 1.0, 0.0
    curve = []
    for each in values:
        value *= 1 + each
        peak = max(peak, value)
        worst = max(worst, 1 - value / peak)
        curve.append(value)
    pnl = np.array(values)
    assert metrics.equity(pnl) == pytest.approx(curve)
    assert metrics.max_drawdown(pnl) == pytest.approx(worst, abs=1e-12)


def test_a_loss_of_everything_is_final():
    pnl = np.array([0.1, -1.0, 0.5])
    assert metrics.equity(pnl).tolist() == [1.1, 0.0, 0.0]
    assert metrics.max_drawdown(pnl) == 1.0


def test_sharpe_is_mean_over_deviation_times_the_root_of_the_periods():
    pnl = np.array([0.01, 0.03])
    assert metrics.sharpe(pnl, 4) == pytest.approx(0.02 / 0.01 * 2)
    assert metrics.sharpe(pnl) == pytest.approx(2 * math.sqrt(365 * 24 * 60))
    assert metrics.sharpe(-pnl, 4) == -metrics.sharpe(pnl, 4)


@given(returns, st.floats(0.5, 2))
def test_sharpe_does_not_depend_on_the_size_of_the_position(values, scale):
    pnl = np.array(values)
    one, other = metrics.sharpe(pnl), metrics.sharpe(scale * pnl)
    if pnl.std() > 1e-9:
        assert other == pytest.approx(one)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1, 2, 3], [2, 4, 6], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 2, 1, 2], 1 / math.sqrt(5)),
    ],
)
def test_correlation_by_hand(x, y, expected):
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    assert metrics.correlation(x, y) == pytest.approx(expected)


def test_ranks_ignore_the_distances_and_average_ties():
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.rank_correlation(x, np.exp(10 * x)) == pytest.approx(1)
    assert metrics.rank_correlation(x, np.array([5.0, 5.0, 9.0, 9.0])) == pytest.approx(
        2 / math.sqrt(5)
    )


@pytest.mark.parametrize("side", [0, 1])
def test_a_constant_or_a_single_value_has_no_correlation(side):
    pair = [np.array([1.0, 2.0]), np.array([1.0, 2.0])]
    pair[side] = np.array([3.0, 3.0])
    assert math.isnan(metrics.correlation(*pair))
    assert math.isnan(metrics.rank_correlation(*pair))
    assert math.isnan(metrics.correlation(np.array([1.0]), np.array([2.0])))
    assert math.isnan(metrics.rank_correlation(np.array([]), np.array([])))


def test_an_undefined_training_makes_the_deflated_sharpe_undefined():
    pnl = np.random.default_rng(1).standard_normal(1000) * 1e-4
    assert math.isfinite(metrics.dsr(pnl, np.array([0.01, 0.02])))
    assert math.isnan(metrics.dsr(pnl, np.array([0.01, math.nan])))


def test_a_wider_level_gives_a_wider_interval():
    pnl = np.random.default_rng(2).standard_normal(2000) * 1e-4
    narrow = metrics.sharpe_interval(pnl, 1, level=0.5)
    wide = metrics.sharpe_interval(pnl, 1, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
