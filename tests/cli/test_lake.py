"""`tick backfill` and `tick lake` as a person types them, without Flink."""

from datetime import UTC, datetime

import polars as pl
import pytest

from cli.lake import _range
from contracts.errors import DatasetError
from contracts.settings import Settings
from feature_store import lakehouse
from streaming import batch

START = datetime(2026, 3, 1, 12, 0, 30)  # noqa: DTZ001 – typer gives naive moments


def us(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.fixture
def lake(tmp_path):
    """Silver with two ticks, 100 s apart."""
    made = Settings(home=tmp_path)
    lakehouse.create(made)
    row = {"venue": "V", "symbol": "S", "price": 1.0, "size": 1.0, "side": 1}
    rows = [row | {"trade_id": str(s), "seq": s, "event_time_us": us(START) + s * 1_000_000, "ingest_time_us": us(START)} for s in (0, 100)]
    lakehouse.append_ticks(made, batch.conform(pl.DataFrame(rows)))
    return made


def test_without_a_range_all_of_silver_is_covered_up_to_the_end_of_its_last_bar(lake):
    assert _range(lake, None, None) == (us(START), us(START) + 160_000_000)


def test_a_given_side_is_taken_as_it_is(lake):
    assert _range(lake, START.replace(second=0), None)[0] == us(START.replace(second=0))
    assert _range(lake, None, START.replace(minute=9))[1] == us(START.replace(minute=9))


def test_an_empty_lakehouse_says_how_to_fill_it(tmp_path):
    empty = Settings(home=tmp_path)
    lakehouse.create(empty)
    with pytest.raises(DatasetError, match="no ticks") as caught:
        _range(empty, None, None)
    assert "`tick history`" in caught.value.hint


def test_a_range_that_ends_before_it_begins_is_refused(lake):
    with pytest.raises(DatasetError, match="not before"):
        _range(lake, START, START)
    with pytest.raises(DatasetError, match="not before"):
        _range(lake, None, START.replace(year=2020))
