"""The model's inputs: a naive oracle for every feature, and nothing after the end of the day
changes any of them.
"""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from contracts.durations import DAY_US, HOUR_US
from contracts.errors import DatasetError
from tests.support.power_data import T0, readings
from training.power import features, files
from training.power.features import CALENDAR, FEATURES, LAG_FEATURES, LAGS_H, SERIES
from training.power.split import split_by_time

DAYS = 12
ROWS = files.to_silver(readings(DAYS), "made up")


def inputs(rows, series, end_us):
    """What training and forecasting read: the learned hours, and the 24 hours ahead."""
    designed = features.add_features(features.hourly_power(rows, series, end_us))
    return features.training_samples(designed), features.next_day_rows(designed)


@pytest.mark.parametrize("series", SERIES)
def test_every_hour_is_the_mean_of_its_readings_and_every_lag_the_hour_before(series):
    made = readings(DAYS)
    zones = ["zone1", "zone2", "zone3"] if series == "total" else [series]
    oracle = [
        sum(made[zone][6 * h : 6 * h + 6].sum() for zone in zones) / 6 for h in range(24 * DAYS)
    ]
    designed = features.add_features(features.hourly_power(ROWS, series, T0 + DAYS * DAY_US))
    assert len(designed) == 24 * (DAYS + 1)
    for h, row in enumerate(designed.iter_rows(named=True)):
        assert row["event_time_us"] == T0 + h * HOUR_US
        assert row["kw"] == (pytest.approx(oracle[h], rel=1e-12) if h < len(oracle) else None)
        for lag, name in zip(LAGS_H, LAG_FEATURES, strict=True):
            assert row[name] == (pytest.approx(oracle[h - lag], rel=1e-12) if h >= lag else None)
        moment = datetime.fromtimestamp(row["event_time_us"] / 1e6, UTC)
        calendar = (moment.hour, moment.isoweekday(), moment.timetuple().tm_yday, moment.month)
        assert tuple(row[name] for name in CALENDAR) == calendar


def test_no_lag_is_shorter_than_a_day():
    assert min(LAGS_H) == 24
    assert (
        len(set(FEATURES))
        == len(FEATURES)
        == features.feature_matrix(inputs(ROWS, "total", T0 + DAYS * DAY_US)[0]).shape[1]
    )


@settings(max_examples=40)
@given(
    day=st.integers(8, DAYS - 1),
    series=st.sampled_from(SERIES),
    factor=st.floats(0, 100),
    shift=st.integers(0, 3 * 144),
    dropped=st.floats(0, 1),
    late=st.booleans(),
)
def test_nothing_after_the_end_of_the_day_reaches_the_model(
    day, series, factor, shift, dropped, late
):
    """After the day everything is scaled, thinned out and repeated elsewhere; readings of the day
    itself that came late do not count.
    """
    end_us = T0 + day * DAY_US
    before, after = pl.col("event_time_us") < end_us, pl.col("event_time_us") >= end_us
    future = ROWS.filter(after).with_columns(pl.col("value_kw") * factor)
    future = future.sample(fraction=1 - dropped, seed=1)
    elsewhere = future.with_columns(
        pl.col("event_time_us") + shift * files.STEP_US,
        pl.lit(0, dtype=pl.Int64).alias("known_at_us"),
    )
    parts = [ROWS.filter(before), future, elsewhere]
    if late:  # corrected values of the past, known only after its end
        parts.append(
            ROWS.filter(before)
            .tail(30)
            .with_columns(pl.col("value_kw") * 3, pl.lit(end_us + 1).alias("known_at_us"))
        )
    for mine, theirs in zip(
        inputs(pl.concat(parts), series, end_us),
        inputs(ROWS.filter(before), series, end_us),
        strict=True,
    ):
        assert_frame_equal(mine, theirs)


def test_the_other_way_round_a_change_before_the_end_is_seen():
    end_us = T0 + DAYS * DAY_US
    other = ROWS.with_columns(
        pl.when(pl.col("event_time_us") == end_us - files.STEP_US)
        .then(1.0)
        .otherwise("value_kw")
        .alias("value_kw")
    )
    mine, theirs = (inputs(rows, "total", end_us)[1] for rows in (ROWS, other))
    assert mine["lag_24h"][23] != theirs["lag_24h"][23]
    one, two = (
        features.fingerprint(features.hourly_power(rows, "total", end_us)) for rows in (ROWS, other)
    )
    assert one != two


def test_an_hour_with_a_missing_reading_is_unknown_and_so_is_what_leans_on_it():
    gap = T0 + 9 * DAY_US + 5 * HOUR_US
    holed = ROWS.filter((pl.col("event_time_us") != gap) | (pl.col("series") != "zone2"))
    end_us = T0 + 11 * DAY_US
    hours = features.hourly_power(holed, "total", end_us)
    assert hours.filter(pl.col("kw").is_null())["event_time_us"].to_list() == [gap]
    assert features.hourly_power(holed, "zone1", end_us)["kw"].null_count() == 0
    learned = features.training_samples(features.add_features(hours))
    assert {gap, gap + DAY_US}.isdisjoint(learned["event_time_us"].to_list())
    with pytest.raises(DatasetError, match="2017-01-12 cannot be forecast: lag_48h"):
        features.next_day_rows(features.add_features(hours))


def test_an_empty_past_and_a_short_one_are_said():
    with pytest.raises(DatasetError, match="no readings of zone1 before 2017-01-01"):
        features.hourly_power(ROWS, "zone1", T0)
    with pytest.raises(DatasetError, match="lag_168h"):
        features.next_day_rows(
            features.add_features(features.hourly_power(ROWS, "zone1", T0 + 6 * DAY_US))
        )


def test_parts_follow_one_another_and_too_little_is_refused():
    frame = pl.DataFrame({"event_time_us": np.arange(T0, T0 + 120 * DAY_US, HOUR_US)})
    end_us = T0 + 119 * DAY_US
    parts = split_by_time(frame, end_us, 56, 28)
    assert [len(part) for part in (parts.fit, parts.valid, parts.test)] == [
        35 * 24,
        28 * 24,
        56 * 24,
    ]
    assert (
        parts.fit["event_time_us"][-1]
        < parts.valid["event_time_us"][0]
        <= parts.train["event_time_us"][-1]
        < parts.test["event_time_us"][0]
    )
    assert parts.test["event_time_us"][-1] == end_us - HOUR_US
    with pytest.raises(DatasetError, match="27 days are left to fit on, 28 is the least"):
        split_by_time(frame, T0 + 111 * DAY_US, 56, 28)
