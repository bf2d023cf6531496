"""Readings and forecasts in real Iceberg tables: loaded twice they are there once, corrected they
are new, and actuals arrive.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US
from lakehouse import power
from lakehouse.schemas import POWER, POWER_FORECASTS
from lakehouse.tables import Lakehouse
from tests.support.power_data import T0, readings
from training.power import features, files


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    return made


def rows(days=3, seed=1, source="one"):
    return files.to_silver(readings(days, seed), source)


def snapshots(settings, table):
    return len(Lakehouse(settings).table(table).snapshots())


def test_two_loads_of_the_same_days_at_once_lose_no_reading(settings, monkeypatch):
    """Both read the stored days before either writes them, if nothing makes one wait."""
    both_have_read, read = threading.Barrier(2), power.readings

    def read_together(*arguments):
        stored = read(*arguments)
        with suppress(threading.BrokenBarrierError):
            both_have_read.wait(0.3)
        return stored

    loads = [rows(days=1).with_columns(series=pl.lit(name)) for name in ("a", "b")]
    lake = Lakehouse(settings)
    lake.create()
    monkeypatch.setattr(power, "readings", read_together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda load: power.store(lake, load), loads))
    monkeypatch.undo()
    assert len(power.readings(lake)) == sum(map(len, loads))


def forecast(series, day, kw, version="1"):
    hours = range(T0 + day * DAY_US, T0 + (day + 1) * DAY_US, HOUR_US)
    known = {"model_name": "m", "model_version": version, "known_at_us": T0 + day * DAY_US}
    made = [
        {"event_time_us": hour, "series": series, "forecast_kw": kw, "actual_kw": None, **known}
        for hour in hours
    ]
    return pl.DataFrame(made, schema_overrides={"actual_kw": pl.Float64})


class TestReadings:
    def test_the_same_again_changes_nothing(self, settings):
        assert power.end_us(Lakehouse(settings)) is None
        assert power.store(Lakehouse(settings), rows()) == power.Stored(3 * 432, 0, 0)
        before = snapshots(settings, POWER)
        assert power.store(Lakehouse(settings), rows()) == power.Stored(0, 0, 3 * 432)
        assert snapshots(settings, POWER) == before
        held = power.readings(Lakehouse(settings))
        assert_frame_equal(held, rows().select(held.columns).sort("event_time_us", "series"))
        assert power.end_us(Lakehouse(settings)) == T0 + 3 * DAY_US

    def test_a_longer_file_adds_and_a_corrected_one_replaces(self, settings):
        power.store(Lakehouse(settings), rows(3).filter(pl.col("event_time_us") < T0 + 2 * DAY_US))
        assert power.store(Lakehouse(settings), rows(3)) == power.Stored(3 * 144, 0, 3 * 288)
        wrong = pl.col("event_time_us").is_between(
            T0 + 5 * HOUR_US, T0 + 6 * HOUR_US, closed="left"
        ) & (pl.col("series") == "zone2")
        corrected = rows(3, source="two").with_columns(
            pl.when(wrong).then(1.0).otherwise("value_kw").alias("value_kw")
        )
        assert power.store(Lakehouse(settings), corrected) == power.Stored(0, 6, 3 * 432 - 6)
        held = power.readings(Lakehouse(settings))
        assert len(held) == 3 * 432
        assert held.filter(pl.col("value_kw") == 1.0)["source"].unique().to_list() == ["two"]

    def test_a_file_of_one_day_leaves_the_others_alone(self, settings):
        power.store(Lakehouse(settings), rows(3))
        middle = files.to_silver(readings(1, seed=9, start_us=T0 + DAY_US), "two")
        assert power.store(Lakehouse(settings), middle) == power.Stored(0, 3 * 144, 0)
        held = power.readings(Lakehouse(settings))
        counts = (
            held.group_by((pl.col("event_time_us") - T0) // DAY_US, "source")
            .len()
            .sort("event_time_us")
            .rows()
        )
        assert counts == [(0, "one", 432), (1, "two", 432), (2, "one", 432)]

    def test_a_day_that_is_not_over_is_not_the_last_one(self, settings):
        power.store(
            Lakehouse(settings),
            rows(3).filter(pl.col("event_time_us") < T0 + 3 * DAY_US - files.STEP_US),
        )
        assert power.end_us(Lakehouse(settings)) == T0 + 2 * DAY_US


class TestForecasts:
    def test_a_day_of_a_series_is_replaced_and_the_others_stay(self, settings):
        for made in (
            forecast("total", 4, 1.0),
            forecast("zone1", 4, 2.0),
            forecast("total", 5, 3.0),
            forecast("total", 4, 4.0, "2"),
        ):
            power.store_forecasts(Lakehouse(settings), made)
        held = power.forecasts(Lakehouse(settings))
        assert held.group_by("series", "forecast_kw", "model_version").len().sort(
            "forecast_kw"
        ).rows() == [
            ("zone1", 2.0, "1", 24),
            ("total", 3.0, "1", 24),
            ("total", 4.0, "2", 24),
        ]

    def test_actuals_come_when_they_are_there_and_change_when_corrected(self, settings):
        power.store_forecasts(Lakehouse(settings), forecast("total", 1, 7.0))
        power.store_forecasts(Lakehouse(settings), forecast("total", 2, 7.0))
        power.store_forecasts(Lakehouse(settings), forecast("zone1", 1, 7.0))
        hours = features.hourly_power(rows(3), "total", T0 + DAY_US + 10 * HOUR_US)
        assert power.fill_actuals(Lakehouse(settings), "total", hours) == 10
        before = snapshots(settings, POWER_FORECASTS)
        assert power.fill_actuals(Lakehouse(settings), "total", hours) == 0
        assert snapshots(settings, POWER_FORECASTS) == before
        assert (
            power.fill_actuals(
                Lakehouse(settings),
                "total",
                features.hourly_power(rows(3), "total", T0 + 3 * DAY_US),
            )
            == 38
        )
        held = power.forecasts(Lakehouse(settings), series="total")
        assert (
            held["actual_kw"].to_list()
            == features.hourly_power(rows(3), "total", T0 + 3 * DAY_US)["kw"].to_list()[24:]
        )
        assert power.forecasts(Lakehouse(settings), series="zone1")["actual_kw"].null_count() == 24
        assert (
            power.fill_actuals(
                Lakehouse(settings),
                "total",
                features.hourly_power(rows(3, seed=2), "total", T0 + 2 * DAY_US),
            )
            == 24
        )
