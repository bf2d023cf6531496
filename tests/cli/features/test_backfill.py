"""`tick backfill` without Flink: its range, its options, its list of days."""

from datetime import UTC, datetime

import polars as pl
import pytest

from cli.features.backfill import list_days, resolve_silver_range
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import DatasetError
from feature_store.backfill.chunks import length_us
from lakehouse.tables import Lakehouse
from streaming.feeds import tick_frame

START = datetime(2026, 3, 1, 12, 0, 30)  # noqa: DTZ001 – typer gives naive moments

LATER_US = 4_000_000_000_000_000


def us(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.fixture
def lake(tmp_path):
    """Silver with two ticks, 100 s apart."""
    settings = Settings(home=tmp_path)
    Lakehouse(settings).create()
    row = {"venue": "V", "symbol": "S", "price": 1.0, "size": 1.0, "side": 1}
    rows = [
        row
        | {
            "trade_id": str(s),
            "seq": s,
            "event_time_us": us(START) + s * 1_000_000,
            "ingest_time_us": us(START),
        }
        for s in (0, 100)
    ]
    Lakehouse(settings).append_ticks(tick_frame.conform(pl.DataFrame(rows)))
    return settings


def test_without_a_range_all_of_silver_is_covered_up_to_the_end_of_its_last_bar(lake):
    expected = (us(START), us(START) + 161_000_000)
    assert resolve_silver_range(lake, None, None, LATER_US) == expected


@pytest.mark.parametrize(
    ("now_s", "end_s"),
    [
        (100, 100),  # silver is as of now: the rows up to 99.8 s have their ticks
        (124, 100),
        (126, 101),  # no tick of the rows up to 100 s can be under way any more
        (160, 135),
        (190, 161),  # the last bar of the ladder is closed as well
    ],
)
def test_alongside_the_live_stream_the_range_ends_with_the_newest_closed_bar(lake, now_s, end_s):
    _, end_us = resolve_silver_range(lake, None, None, us(START) + now_s * 1_000_000)
    assert end_us == us(START) + end_s * 1_000_000


def test_an_option_overrides_its_end_of_the_range(lake):
    assert resolve_silver_range(lake, START.replace(second=0), None, LATER_US)[0] == us(
        START.replace(second=0)
    )
    assert resolve_silver_range(lake, None, START.replace(minute=9), LATER_US)[1] == us(
        START.replace(minute=9)
    )


def test_an_empty_lakehouse_names_the_command_that_fills_it(tmp_path):
    empty = Settings(home=tmp_path)
    Lakehouse(empty).create()
    with pytest.raises(DatasetError, match="no ticks") as caught:
        resolve_silver_range(empty, None, None, LATER_US)
    assert "`tick history`" in caught.value.hint


@pytest.mark.parametrize(("text", "hours"), [("12h", 12), ("1d", 24), ("2w", 336)])
def test_a_chunk_has_a_unit(text, hours):
    assert length_us(Lakehouse(Settings()), text, 0, DAY_US) == hours * 3_600_000_000


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1.5d", "12", "3m"])
def test_an_invalid_chunk_length_is_refused(text):
    with pytest.raises(DatasetError, match="is not a chunk length") as caught:
        length_us(Lakehouse(Settings()), text, 0, DAY_US)
    assert "12h, 1d, 2w" in caught.value.hint


def test_many_days_are_shortened():
    days = [us(START) // DAY_US * DAY_US + i * DAY_US for i in range(9)]
    assert list_days(days[:2]) == "2026-03-01, 2026-03-02"
    assert list_days(days).endswith("2026-03-06 … 2026-03-09")
