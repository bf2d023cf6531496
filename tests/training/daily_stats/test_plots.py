"""Plots of daily statistics show the most traded symbols, means over days and the value area."""

import math

import numpy as np
import polars as pl
import pytest

from contracts.durations import DAY_US
from tests.support.prices import D0, ticks
from training.daily_stats import plots, rows


def tables(days=(0,), symbols=("V:A", "V:B")):
    """Rows by table of several days."""
    keyed = ticks(list(days), symbols).with_columns(key=pl.col("venue") + ":" + pl.col("symbol"))
    day = pl.col("event_time_us") // DAY_US
    parts = [
        rows.daily_rows(keyed.filter(day == (D0 // DAY_US + number)), D0 + number * DAY_US)
        for number in days
    ]
    return {table: pl.concat(part[table] for part in parts) for table in parts[0]}


def test_the_symbols_with_most_trades_are_shown_sorted_by_name():
    names = [f"V:{chr(ord('A') + number)}" for number in range(20)]
    trades = pl.DataFrame({"symbol": names * 2, "trades": [*range(20), *range(20)]})
    assert plots.most_traded(trades) == names[20 - plots.SYMBOLS_MAX :]
    tied = pl.DataFrame({"symbol": names, "trades": [1] * 20})
    assert plots.most_traded(tied) == names[: plots.SYMBOLS_MAX]


def test_a_curve_is_the_root_mean_square_over_the_days_in_basis_points():
    volatility = pl.DataFrame(
        {
            "symbol": ["V:A"] * 96,
            "slot": [*range(48)] * 2,
            "trades": [1] * 96,
            "rv_5m": [3e-4] * 48 + [4e-4] * 47 + [None],
        }
    )
    (curve,) = plots.plot_volatility(volatility, "title").axes[0].patches
    values = curve.get_data().values
    assert values[0] == pytest.approx(math.sqrt((3**2 + 4**2) / 2))
    assert values[47] == pytest.approx(3.0)


def test_a_profile_has_a_bar_per_bucket_for_volume_and_for_bought_volume():
    profile = tables()[rows.DAILY_PROFILE]
    figure = plots.plot_volume_profile(profile, "title")
    for axes, symbol in zip(figure.axes, ("V:A", "V:B"), strict=True):
        buckets = profile.filter(symbol=symbol)
        widths = [bar.get_width() for bar in axes.patches[: 2 * len(buckets)]]
        assert widths[: len(buckets)] == pytest.approx(buckets["volume"].to_list())
        assert widths[len(buckets) :] == pytest.approx(buckets["buy_volume"].to_list())
        assert axes.get_title() == symbol


def test_unused_panels_are_hidden():
    profile = tables(symbols=("V:A", "V:B", "V:C", "V:D"))[rows.DAILY_PROFILE]
    figure = plots.plot_volume_profile(profile, "title")
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2


def test_a_correlation_matrix_is_symmetric_with_nan_for_missing_pairs():
    pairs = pl.DataFrame(
        {"symbol": ["A", "A", "B"], "other": ["A", "B", "C"], "value": [1.0, 0.5, None]}
    )
    matrix = plots.correlation_matrix(pairs, ["A", "B", "C"], "value")
    expected = [[1.0, 0.5, math.nan], [0.5, math.nan, math.nan], [math.nan] * 3]
    np.testing.assert_array_equal(matrix, expected)


def test_correlations_are_means_over_the_days():
    correlations = tables(days=(0, 1))[rows.DAILY_CORRELATION]
    figure = plots.plot_correlation(correlations, "title")
    mean = correlations.filter(symbol="V:A", other="V:B")["hayashi_yoshida"].mean()
    left = figure.axes[0]
    shown = np.asarray(left.images[0].get_array())
    assert shown[0, 1] == shown[1, 0] == pytest.approx(mean)
    assert [text.get_text() for text in left.texts][1] == f"{mean:.2f}"
