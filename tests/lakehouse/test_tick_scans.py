"""The scans for parity and its reference: all rows from a begin per symbol, late ticks."""

import polars as pl
import pytest
from pydantic import SecretStr

from contracts.config.settings import Settings
from lakehouse import tick_scans
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from streaming.feeds.tick_frame import SCHEMA
from tests.support import parity_tables
from tests.support.parity_tables import DAY, START, A, B, S

ALL = pl.col("trade_id").is_in(["A20", "B7"])


@pytest.fixture(scope="module")
def market():
    twin = parity_tables.ticks((A,), seed=2).with_columns(venue=pl.lit("W"))
    return pl.concat([parity_tables.ticks(), twin])


@pytest.fixture(scope="module")
def settings(tmp_path_factory, market) -> Settings:
    result = Settings(home=tmp_path_factory.mktemp("silver"))
    Lakehouse(result).create()
    parity_tables.put_ticks(result, market, (pl.col("venue") == "V") & ALL)
    return result


def key() -> pl.Expr:
    return pl.col("venue") + ":" + pl.col("symbol")


def test_each_symbol_is_read_with_its_duplicates_from_its_own_begin_on(settings, market):
    begins, to_us = {A: START + 600 * S, B: START + 1200 * S}, START + 3000 * S
    result = tick_scans.read_all(Lakehouse(settings), begins, to_us)
    expected = [
        market.filter((key() == symbol) & pl.col("event_time_us").is_between(us, to_us - 1))
        for symbol, us in begins.items()
    ]
    order = ["symbol", "seq", "event_time_us"]
    assert result.select(market.columns).sort(order).equals(pl.concat(expected).sort(order))
    assert result.select(key(), "trade_id").is_duplicated().any()


def test_without_symbols_or_ticks_there_are_the_columns(settings, market):
    for begins in ({}, {A: START + DAY}):
        result = tick_scans.read_all(Lakehouse(settings), begins, START + 2 * DAY)
        assert result.is_empty() and set(market.columns) < set(result.columns)
        assert (
            result.schema["symbol"],
            result.schema["event_time_us"],
            result.schema["price"],
        ) == (
            pl.String,
            pl.Int64,
            pl.Float64,
        )


def test_duplicates_are_found_in_any_file_and_for_any_symbol(settings, market):
    def has(from_us, to_us, symbols=None):
        return tick_scans.has_duplicates(
            Lakehouse(settings), [(from_us - DAY, from_us), (from_us, to_us)], symbols
        )

    first = int(
        market.filter(pl.struct("venue", "symbol", "trade_id").is_duplicated())[
            "event_time_us"
        ].min()
    )
    assert has(START, START + DAY) and has(START, START + DAY, [A])
    assert not has(START, first) and has(START, first + 1)
    Lakehouse(settings).append_ticks(
        (once := market.filter(pl.col("trade_id") == "A1")).with_columns(
            pl.col("event_time_us") + DAY
        ),
    )
    assert not tick_scans.has_duplicates(Lakehouse(settings), [(START + DAY, START + 2 * DAY)]), (
        "the same id at two venues are two trades"
    )
    Lakehouse(settings).append_ticks(once.head(1).with_columns(pl.col("event_time_us") + DAY + S))
    before = Lakehouse(settings).table(SILVER).current_snapshot().parent_snapshot_id
    assert tick_scans.has_duplicates(Lakehouse(settings), [(START + DAY, START + 2 * DAY)])
    assert not tick_scans.has_duplicates(
        Lakehouse(settings), [(START + DAY, START + 2 * DAY)], snapshot=before
    )
    assert not tick_scans.has_duplicates(
        Lakehouse(settings), [(START + 2 * DAY, START + 3 * DAY)]
    ) and not tick_scans.has_duplicates(Lakehouse(settings), [])


def test_slices_are_cut_between_minutes_and_cover_the_range_once():
    minutes = pl.DataFrame(
        {"minute_us": [0, 0, 60 * S, 120 * S, 300 * S], "ticks": [3, 3, 2, 9, 1]},
        schema_overrides={"ticks": pl.UInt64},
    )
    assert tick_scans.slices(minutes, -S, 400 * S, 100) == [(-S, 400 * S)]
    assert tick_scans.slices(minutes, -S, 400 * S, 8) == [
        (-S, 60 * S),
        (60 * S, 120 * S),
        (120 * S, 400 * S),
    ]
    assert tick_scans.slices(minutes.head(0), 5, 6, 1) == [(5, 6)]


def test_late_ticks_are_told_once_a_second_by_symbol(settings, market):
    late = market.filter((pl.col("venue") == "V") & ALL)
    expected = (
        late.select(key().alias("key"), pl.col("event_time_us") // S * S)
        .unique()
        .sort("event_time_us", "key")
    )
    assert (
        tick_scans.late(Lakehouse(settings), START, START + DAY).equals(expected)
        and len(expected) == 2
    )
    assert tick_scans.late(Lakehouse(settings), START, START + DAY, [B])["key"].to_list() == [B]
    assert tick_scans.late(Lakehouse(settings), START, START + DAY, ["W:A"]).is_empty()
    assert tick_scans.late(Lakehouse(settings), START + DAY, START + 2 * DAY).is_empty()


def test_a_tick_with_a_copy_in_time_is_not_late(tmp_path):
    result = Settings(home=tmp_path)
    Lakehouse(result).create()
    ticks = parity_tables.ticks((A,)).with_columns(pl.col("event_time_us") // 1000 * 1000 + 123)
    ticks = ticks.with_row_index("row").sort(
        "row", descending=True
    )  # the later copy is stored first
    late = pl.col("trade_id").is_first_distinct() & pl.col("trade_id").is_in(["A20", "A31"])
    time = parity_tables.utc("event_time_us").dt.truncate("1ms")  # as the live job stores it
    parity_tables.put(result, SILVER, ticks.drop("row").with_columns(event_time=time, late=late))
    assert tick_scans.late(Lakehouse(result), START, START + DAY)["event_time_us"].to_list() == [
        int(ticks.filter(pl.col("trade_id") == "A31")["event_time_us"][0]) // S * S
    ]
    read = Lakehouse(result).read_ticks(START, START + DAY)
    assert read.filter(pl.col("late"))["trade_id"].to_list() == ["A31"]
    counted = Lakehouse(result).count_ticks(START, START + DAY)
    assert (counted.distinct, counted.late) == (500, 1) and counted.rows > 500


def test_polars_gets_the_keys_of_the_object_store_and_none_of_the_catalog(tmp_path, monkeypatch):
    Lakehouse(Settings(home=tmp_path)).create()
    keys = {
        "s3_endpoint": "http://store:9000",
        "s3_region": "eu-west-1",
        "s3_access_key": SecretStr("key"),
        "s3_secret_key": SecretStr("secret"),
    }
    passed = {}
    monkeypatch.setattr(
        tick_scans.pl,
        "scan_iceberg",
        lambda table, **options: passed.update(options) or pl.LazyFrame(schema=SCHEMA),
    )
    assert (
        tick_scans.symbols(Lakehouse(Settings(home=tmp_path))) == []
        and passed["storage_options"] is None
    )
    tick_scans.symbols(Lakehouse(Settings(home=tmp_path, **keys)))
    assert passed["storage_options"] == {
        "s3.endpoint": "http://store:9000",
        "s3.region": "eu-west-1",
        "s3.access-key-id": "key",
        "s3.secret-access-key": "secret",
    }
