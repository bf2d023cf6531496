"""The daily file of Feast's offline store: the days of the lakehouse, and when they are known."""

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from feature_store.feast_repo import objects as feast_objects
from feature_store.feast_repo import offline
from lakehouse import daily
from lakehouse.schemas import DAILY, DAILY_COUNTS, DAILY_NUMBERS
from lakehouse.tables import Lakehouse
from tests.support.parity_tables import START, A, B, utc


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("lake"))
    Lakehouse(settings).create()
    return settings


def put_days(settings: Settings, *days: tuple[str, int], volume: float = 2.0) -> None:
    """Statistics of these days (symbol, days since START)."""
    rows = pl.DataFrame(
        [(symbol, START + day * DAY_US, 3) for symbol, day in days],
        ["symbol", "event_time_us", "trades"],
        orient="row",
    ).with_columns(event_time=utc("event_time_us"), known_at_us=pl.col("event_time_us") + DAY_US)
    numbers = [pl.lit(volume).alias(name) for name in DAILY_NUMBERS]
    frames = {DAILY: rows.with_columns(numbers)}
    daily.replace(Lakehouse(settings), frames, START, START + 9 * DAY_US, None)


def test_a_day_is_known_from_the_start_of_the_next_one(settings):
    put_days(settings, (A, 0), (B, 0), (A, 1))
    file = offline.export_daily(settings)
    assert file == feast_objects.offline_file(settings, feast_objects.DAILY_VIEW)
    rows = pl.read_parquet(file)
    assert rows.columns == ["symbol", "event_timestamp", *DAILY_COUNTS, *DAILY_NUMBERS]
    assert rows.schema["event_timestamp"] == pl.Datetime("us", "UTC")
    times_us = rows["event_timestamp"].dt.epoch("us").to_list()
    assert list(zip(rows["symbol"], times_us, strict=True)) == [
        (A, START + DAY_US),
        (B, START + DAY_US),
        (A, START + 2 * DAY_US),
    ]


def test_a_second_export_replaces_the_first(settings):
    put_days(settings, (A, 0), (B, 0))
    offline.export_daily(settings)
    put_days(settings, (A, 0), volume=5.0)
    rows = pl.read_parquet(offline.export_daily(settings))
    assert rows["symbol"].to_list() == [A] and rows["volume"].to_list() == [5.0]
    folder = feast_objects.offline_file(settings, "x").parent
    assert [file.name for file in folder.iterdir()] == [f"{feast_objects.DAILY_VIEW}.parquet"]


def test_without_days_the_file_has_its_columns(settings):
    put_days(settings)
    rows = pl.read_parquet(offline.export_daily(settings))
    assert rows.is_empty() and "rv_5m" in rows.columns
