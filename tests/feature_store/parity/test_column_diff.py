"""Two sides compared value by value: whatever was late, every difference has a cause."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import Column, columns
from contracts.windows import LEVELS
from feature_store.parity.causes import BAR_ENDS, NOTHING_LATE, REACHES_BACK, Causes, late_bars
from feature_store.parity.column_diff import GOT, TOLERANCE, ColumnDiff, ColumnDiffs, compare, pair
from tests.support.parity_tables import LENGTH_S, START, A, S, features, ticks

SCALE = 1e-3
COLUMN = Column("volume_1m", "tick_1s", "base", SCALE, True, 60)


@pytest.fixture(scope="module")
def market():
    """Trades of one symbol, and their features with everything counted."""
    trades = ticks((A,), count=220)
    return trades, features(trades)


def rows(values, warm_s=3600):
    count = len(values)
    times = [START + S * i for i in range(count)]
    return pl.DataFrame(
        {
            "symbol": ["V:A"] * count,
            "event_time_us": times,
            "warm_s": [warm_s] * count,
            "volume_1m": values,
        }
    ).cast({"volume_1m": pl.Float64})


def diff_of(expected, got) -> ColumnDiff:
    (diff,) = compare(pair(rows(expected), rows(got)), [COLUMN], NOTHING_LATE)
    return diff


def test_equal_values_and_nulls_agree():
    diff = diff_of([1.0, None, math.nan, math.inf], [1.0, None, math.nan, math.inf])
    assert (diff.compared, diff.mismatch, diff.worst) == (4, 0, None)


@given(
    value=st.floats(-1e12, 1e12),
    factor=st.floats(0.0, 0.9) | st.floats(1.1, 1e6),
    sign=st.sampled_from((-1, 1)),
)
@settings(max_examples=60)
def test_the_tolerance_is_relative_to_the_value_or_its_scale(value, factor, sign):
    size = max(abs(value), SCALE)
    got = value + sign * factor * TOLERANCE * size
    error = abs(got - value) / size  # the error that remains in floating point
    diff = diff_of([value], [got])
    assert diff.unexplained == diff.mismatch == (1 if error > TOLERANCE else 0)
    assert (diff.worst.relative if diff.worst else 0.0) == pytest.approx(error)


@pytest.mark.parametrize("other", [1.0, math.nan, math.inf])
def test_null_against_a_value_has_a_separate_count(other):
    assert (diff_of([None], [other]).null_expected, diff_of([other], [None]).null_got) == (1, 1)
    assert diff_of([None], [other]).worst.relative == math.inf


def test_the_worst_place_is_named_and_may_be_within_the_tolerance():
    diff = diff_of([1.0, 2.0, 4.0], [1.0, 2.0 + 1e-12, 4.0])
    assert diff.unexplained == 0
    assert (diff.worst.event_time_us, diff.worst.expected, diff.worst.got) == (
        START + S,
        2.0,
        2.0 + 1e-12,
    )


def test_diffs_of_slices_add_up_and_keep_the_worst():
    diffs = ColumnDiffs()
    for got in (1.0, 1.5, 1.2):
        diffs.add([diff_of([1.0], [got])])
    (total,) = diffs.values()
    assert (total.compared, total.unexplained, diffs.unexplained, total.worst.got) == (3, 2, 2, 1.5)
    assert total.as_dict()["worst"]["relative"] == pytest.approx(0.5)


def causes_of(late: pl.DataFrame, level, bars: pl.DataFrame) -> Causes:
    return Causes(
        late_bars(late, level), bars.select("symbol", end_us="event_time_us").sort("end_us")
    )


def keyed(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.select("event_time_us", key=pl.col("venue") + ":" + pl.col("symbol"))


def all_diffs(live, batch, late):
    diffs = ColumnDiffs()
    for level in LEVELS:
        pairs = pair(batch[level.view], live[level.view])
        diffs.add(compare(pairs, columns(level), causes_of(keyed(late), level, batch[level.view])))
    return diffs


@given(
    chance=st.randoms(use_true_random=False),
    share=st.sampled_from([0.01, 0.05, 0.3]),
    begin_s=st.integers(0, LENGTH_S // 2),
)
@settings(max_examples=6)
def test_a_live_job_that_begins_late_and_misses_ticks_differs_in_nothing_unexplained(
    market, chance, share, begin_s
):
    trades, batch = market
    begin_us = START + begin_s * S
    lost = {
        name for name in trades["trade_id"].unique(maintain_order=True) if chance.random() < share
    }
    late = trades.filter(pl.col("trade_id").is_in(lost))
    live = features(
        trades.filter(~pl.col("trade_id").is_in(lost) & (pl.col("event_time_us") >= begin_us))
    )
    diffs = all_diffs(live, batch, late.filter(pl.col("event_time_us") >= begin_us))
    assert [(name, entry.worst) for name, entry in diffs.items() if entry.unexplained] == []


def test_a_late_tick_explains_the_windows_that_reach_it_and_no_others(market):
    trades, batch = market
    lost = trades.filter(pl.col("event_time_us") > START + 3600 * S).head(1)
    live = features(trades.filter(pl.col("trade_id") != lost["trade_id"][0]))
    late_us = lost["event_time_us"][0]
    level = LEVELS[0]
    pairs = pair(batch[level.view], live[level.view])
    diffs = {
        entry.name: entry
        for entry in compare(
            pairs, columns(level), causes_of(keyed(lost), level, batch[level.view])
        )
    }
    inside = pairs.filter(pl.col("event_time_us").is_between(late_us, late_us + 60 * S))
    assert diffs["volume_1m"].late == len(inside) == diffs["volume_1m"].mismatch > 0
    shifted = keyed(lost).with_columns(event_time_us=pl.col("event_time_us") - 40 * 60 * S)
    again = compare(pairs, columns(level), causes_of(shifted, level, batch[level.view]))
    assert sum(entry.late for entry in again) == 0 and {
        entry.name for entry in again if entry.unexplained
    } >= {"volume_1m"}


def test_the_last_bar_before_a_window_explains_its_first_return_only():
    before = START + 10 * S
    rows_ = rows([1.0]).with_columns(
        event_time_us=pl.lit(START + 100 * S), log_return_1m=pl.lit(1.0), warm_s=3600
    )
    pairs = pair(rows_, rows_.with_columns(volume_1m=pl.lit(2.0), log_return_1m=pl.lit(2.0)))
    bars = pl.DataFrame({"symbol": ["V:A"], "end_us": [before]}, BAR_ENDS)
    wanted = [
        column for column in columns(LEVELS[0]) if column.name in ("log_return_1m", "volume_1m")
    ]
    diffs = {entry.name: entry for entry in compare(pairs, wanted, Causes(bars, bars))}
    assert (diffs["log_return_1m"].late, diffs["log_return_1m"].unexplained) == (1, 0)
    assert (diffs["volume_1m"].late, diffs["volume_1m"].unexplained) == (0, 1)
    nearer = pl.DataFrame({"symbol": ["V:A"] * 2, "end_us": [before, before + S]}, BAR_ENDS)
    assert (
        compare(pairs, wanted, Causes(bars, nearer))[0].unexplained == 1
    )  # another bar stands between


def test_which_features_reach_back():
    assert {"log_return_1m", "amihud_1h", "realized_vol_10s"} <= REACHES_BACK
    assert (
        not {"volume_1m", "flow_imbalance_5m", "vwap_dev_1m", "range_15m", "hour_sin"}
        & REACHES_BACK
    )


@pytest.mark.parametrize(
    ("live_warm_s", "got", "explained"), [(59, None, True), (60, None, False), (59, 1.0, False)]
)
def test_less_history_explains_a_missing_value_of_a_window_it_does_not_fill(
    live_warm_s, got, explained
):
    pairs = pair(rows([2.0]), rows([got], live_warm_s))
    (diff,) = compare(pairs, [COLUMN], NOTHING_LATE)
    assert (diff.warm_up, diff.unexplained) == ((1, 0) if explained else (0, 1))
    assert "warm_s" + GOT in pairs.columns
