"""`Lakehouse`: reads of pinned states, ranges from statistics, statements for Flink."""

import sqlite3
from datetime import UTC, datetime

import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse import tables, tick_scans
from lakehouse.maintenance import expiry
from lakehouse.schemas import COLUMNS_OF, GOLD, SILVER
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import DAY, START, A, B, S

LATER_US = 4_000_000_000_000_000


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return parity_tables.ticks(count=40)


@pytest.fixture(scope="module")
def home(tmp_path_factory, market) -> Lakehouse:
    """Two symbols of one day; for tests that only read."""
    settings = Settings(home=tmp_path_factory.mktemp("lake"))
    Lakehouse(settings).create()
    Lakehouse(settings).append_ticks(market)
    return Lakehouse(settings)


def test_the_embedded_catalog_can_be_written_by_two_engines(home):
    with sqlite3.connect(home.settings.catalog_file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_objects_of_the_same_settings_share_one_catalog(home):
    assert Lakehouse(home.settings).catalog is home.catalog
    other = home.settings.model_copy(update={"warehouse_uri": "s3://bucket/lake"})
    assert Lakehouse(other).catalog is not home.catalog


def test_a_table_without_rows_has_no_snapshot(home):
    ids = home.snapshot_ids()
    assert ids.keys() == COLUMNS_OF.keys()
    assert ids[GOLD] is None
    assert ids[SILVER] == home.table(SILVER).current_snapshot().snapshot_id


def test_the_range_is_the_first_and_the_last_tick(home, market):
    times = market["event_time_us"]
    assert home.time_range() == (times.min(), times.max())
    assert tick_scans.first_us(home) == times.min() // (60 * S) * 60 * S


def test_an_empty_lakehouse_says_how_to_fill_it(tmp_path):
    empty = Lakehouse(Settings(home=tmp_path))
    empty.create()
    for read in (empty.time_range, lambda: tick_scans.first_us(empty)):
        with pytest.raises(DatasetError, match="holds no ticks") as caught:
            read()
        assert "tick replay" in caught.value.hint
    assert tick_scans.symbols(empty) == []
    assert tick_scans.minutes(empty, START, START + DAY).is_empty()


def test_duplicates_are_counted_and_read_once(home, market):
    count = home.count_ticks(START, START + DAY)
    assert (count.rows, count.distinct, count.late) == (len(market), 80, 0)
    assert count.symbols == [A, B]
    assert len(home.read_ticks(START, START + DAY)) == 80


def test_a_venue_can_be_left_out_of_the_count(home):
    count = home.count_ticks(START, START + DAY, without_venue="V")
    assert (count.rows, count.distinct, count.symbols) == (0, 0, [])


def test_a_range_ends_before_its_end(home, market):
    first, second = sorted(set(market["event_time_us"]))[:2]
    read = home.read_ticks(first, second)
    assert read["event_time_us"].unique().to_list() == [first]


def test_ticks_are_sorted_by_time_and_of_the_symbols_asked_for(home):
    read = home.read_ticks(START, START + DAY, [B])
    assert read["key"].unique().to_list() == [B]
    assert read["event_time_us"].is_sorted()
    assert home.read_ticks(START, START + DAY, []).is_empty()


def test_minutes_count_every_copy(home, market):
    minutes = tick_scans.minutes(home, START, START + DAY, [A])
    assert minutes["key"].unique().to_list() == [A]
    assert minutes["ticks"].sum() == len(market.filter(symbol="A"))
    assert minutes["minute_us"].is_sorted() and (minutes["minute_us"] % (60 * S)).sum() == 0
    assert tick_scans.symbols(home) == [A, B]


def test_a_pinned_read_does_not_change_with_later_commits(tmp_path, market):
    made = Lakehouse(Settings(home=tmp_path))
    made.create()
    made.append_ticks(market)
    pinned = made.snapshot_ids()[SILVER]
    made.append_ticks(market.with_columns(trade_id="x" + pl.col("trade_id")))
    assert len(made.read_ticks(START, START + DAY, snapshot=pinned)) == 80
    assert len(made.read_ticks(START, START + DAY)) == 160
    expiry.expire(made, expiry.Retention(LATER_US), LATER_US, None)
    with pytest.raises(DatasetError, match=f"no snapshot {pinned} any more") as caught:
        made.read_ticks(START, START + DAY, snapshot=pinned)
    assert "tick lake expire --hours" in caught.value.hint


def test_features_are_read_by_view_range_and_symbol(tmp_path, market):
    made = Lakehouse(Settings(home=tmp_path))
    made.create()
    views = parity_tables.features(market)
    parity_tables.put_features(made.settings, GOLD, views)
    end = START + DAY
    for view, expected in views.items():
        read = made.read_features(view, START, end)
        assert read.columns[:3] == ["symbol", "known_at_us", "warm_s"]
        assert read.columns[-1] == "event_time_us"
        order = ["event_time_us", "symbol"]
        assert read.select(order).equals(expected.select(order).sort(order))
    assert made.read_features("tick_1m", START, end, [B])["symbol"].unique().to_list() == [B]
    assert made.read_features("tick_1m", end, end + DAY).is_empty()


def test_a_statement_names_the_columns_in_their_order():
    assert tables.insert(GOLD, ["view", "range"], "SELECT 1, 2") == (
        "INSERT INTO lakehouse.gold.tick_features (`view`, `range`) SELECT 1, 2"
    )
    hinted = tables.insert(SILVER, ["venue"], "SELECT 'V'", tables.NO_SHUFFLE)
    assert hinted == (
        "INSERT INTO lakehouse.silver.tick_data /*+ OPTIONS('distribution-mode'='none') */"
        " (`venue`) SELECT 'V'"
    )


@pytest.mark.parametrize("us", [0, 1, 999_999, 1_750_000_000_123_456])
def test_a_filter_has_the_microsecond_of_its_bounds(us):
    lower = tables.between(us, us + 1).left
    parsed = datetime.fromisoformat(lower.literal.value)
    assert (parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6 == pytest.approx(us)
