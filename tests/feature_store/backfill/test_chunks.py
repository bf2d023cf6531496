"""Chunks and their lookback over a real silver table; what makes a finished chunk due again."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.durations import DAY_US, MINUTE_US
from feature_store.backfill import chunks, ledger
from feature_store.backfill.chunks import Chunk, Lookback
from feature_store.backfill.run import ChunkSource, find_holes, select_windowed_ticks
from lakehouse import tick_scans
from lakehouse.maintenance import compaction
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from streaming.feeds import tick_frame

NOON_US = 1_709_294_400_000_000 - DAY_US // 2  # 2024-03-01 00:00 UTC
HOUR_US = 60 * MINUTE_US


def fill(settings: Settings, symbol: str, minutes: list[int]) -> None:
    """One tick in each of these minutes after noon."""
    row = {"venue": "V", "symbol": symbol, "price": 1.0, "size": 1.0, "side": 1, "seq": 1}
    times = [NOON_US + minute * MINUTE_US + 7 for minute in minutes]
    rows = [row | {"trade_id": str(us), "event_time_us": us, "ingest_time_us": us} for us in times]
    Lakehouse(settings).append_ticks(tick_frame.conform(pl.DataFrame(rows)))


@pytest.fixture
def lake(tmp_path) -> Settings:
    """One symbol with all minutes of three hours, one after a week's gap, one new in the window."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    fill(made, "BUSY", list(range(180)))
    fill(made, "RESTED", [-7 * 1440, -7 * 1440 + 5, -7 * 1440 + 9, 150])
    fill(made, "YOUNG", [100, 130])
    return made


@given(st.integers(0, 10**9), st.integers(1, 10**7), st.integers(1, 10**6))
def test_chunks_cover_the_range_once_and_end_at_the_same_cuts(start, length, size):
    made = chunks.split(start, start + length, max(size, length // 50))
    assert (made[0].from_us, made[-1].to_us) == (start, start + length)
    assert all(one.to_us == two.from_us for one, two in zip(made, made[1:], strict=False))
    assert all(chunk.to_us % max(size, length // 50) == 0 for chunk in made[:-1])


@pytest.mark.parametrize("to_us", [5, 4])
def test_an_empty_range_has_no_chunk(to_us):
    assert chunks.split(5, to_us, 10) == []


def test_the_warm_up_is_the_window_and_two_minutes_with_ticks_before_it(lake):
    chunk = Chunk(NOON_US + 150 * MINUTE_US, NOON_US + 180 * MINUTE_US)
    lookback = chunks.lookback(Lakehouse(lake), chunk, ["V:BUSY", "V:RESTED", "V:YOUNG"])
    window_us = chunk.from_us - HOUR_US - MINUTE_US
    assert lookback.base_us == window_us - 2 * MINUTE_US
    assert lookback.further == (("V:RESTED", NOON_US - (7 * 1440 - 5) * MINUTE_US),)
    assert lookback.first_us == lookback.further[0][1]


def test_at_the_beginning_of_history_one_minute_will_do(lake):
    chunk = Chunk(NOON_US + DAY_US, NOON_US + 2 * DAY_US)
    fill(lake, "LONE", [-7 * 1440 + 3])
    assert chunks.lookback(Lakehouse(lake), chunk, ["V:LONE"]).further == (
        ("V:LONE", NOON_US - (7 * 1440 - 3) * MINUTE_US),
    )


def test_ticks_of_a_gap_are_read_for_their_symbol_alone():
    text = select_windowed_ticks(
        ChunkSource(Lookback(5_000_000, (("V:O'NEIL", 1_000_000),)), snapshot=77), 9_000_000
    )
    assert (
        "(event_time >= TO_TIMESTAMP_LTZ(5000, 3) OR (venue = 'V' AND symbol = 'O''NEIL') AND"
        not in text
    )
    assert (
        "((venue = 'V' AND symbol = 'O''NEIL') AND event_time >= TO_TIMESTAMP_LTZ(1000, 3))" in text
    )
    assert "event_time >= TO_TIMESTAMP_LTZ(1000, 3) AND" in text
    assert "silver.tick_data /*+ OPTIONS('snapshot-id'='77') */ WHERE" in text, (
        "what was searched for duplicates is what is read"
    )


def test_minutes_are_counted_with_duplicates_and_symbols_told_apart(lake):
    fill(lake, "BUSY", [7])
    counted = tick_scans.minutes(Lakehouse(lake), NOON_US, NOON_US + HOUR_US, ["V:BUSY"])
    assert counted["ticks"].sum() == 61 and counted.filter(pl.col("ticks") == 2)[
        "minute_us"
    ].to_list() == [NOON_US + 7 * MINUTE_US]
    assert tick_scans.minutes(
        Lakehouse(lake), NOON_US, NOON_US + HOUR_US, ["OTHER:BUSY"]
    ).is_empty()
    assert tick_scans.symbols(Lakehouse(lake)) == ["V:BUSY", "V:RESTED", "V:YOUNG"]


def digest(lake: Settings, chunk: Chunk, lookback: Lookback, definition: str = "definition") -> str:
    return chunks.digest(
        Lakehouse(lake),
        chunk,
        lookback,
        definition,
        tick_scans.minutes(Lakehouse(lake), chunk.from_us - HOUR_US, chunk.to_us),
    )


def test_new_ticks_new_definitions_and_other_chunks_make_a_chunk_due(lake):
    chunk, lookback = (
        Chunk(NOON_US, NOON_US + HOUR_US),
        Lookback(NOON_US - HOUR_US, (("V:RESTED", NOON_US - 8 * DAY_US),)),
    )
    first = digest(lake, chunk, lookback)
    notes = ledger.read_ledger(lake)
    (ledger.folder(lake)).mkdir(parents=True)
    notes.record(chunk, "*", first)
    assert ledger.read_ledger(lake).is_done(chunk, "*", digest(lake, chunk, lookback))
    assert not ledger.read_ledger(lake).is_done(
        chunk, "*", digest(lake, chunk, lookback, "another")
    )
    fill(lake, "BUSY", [3])
    assert not ledger.read_ledger(lake).is_done(chunk, "*", digest(lake, chunk, lookback))
    notes.record(Chunk(NOON_US + MINUTE_US, NOON_US + DAY_US), "V:BUSY", first)
    assert not ledger.read_ledger(lake).is_done(chunk, "*", first)


def test_a_tick_in_the_gap_that_a_symbol_reaches_over_makes_a_chunk_due(lake):
    chunk, lookback = (
        Chunk(NOON_US, NOON_US + HOUR_US),
        Lookback(NOON_US - HOUR_US, (("V:RESTED", NOON_US - 8 * DAY_US),)),
    )
    first = digest(lake, chunk, lookback)
    fill(lake, "OTHER", [-3 * 1440])
    assert digest(lake, chunk, lookback) == first
    fill(lake, "RESTED", [-3 * 1440])
    assert digest(lake, chunk, lookback) != first


def test_compaction_makes_no_chunk_due(lake):
    chunk, lookback = Chunk(NOON_US, NOON_US + HOUR_US), Lookback(NOON_US - HOUR_US)
    first, snapshot = digest(lake, chunk, lookback), Lakehouse(lake).snapshot_ids()[SILVER]
    rule = compaction.CompactionRule(1, 2**20)
    assert compaction.compact(Lakehouse(lake), rule, lambda *_: None).partitions > 0
    assert Lakehouse(lake).snapshot_ids()[SILVER] != snapshot
    assert digest(lake, chunk, lookback) == first


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"from_us": 1}]', "nonsense"])
def test_a_ledger_that_cannot_be_read_is_empty(lake, text):
    ledger.folder(lake).mkdir(parents=True)
    (ledger.folder(lake) / "ledger.json").write_text(text)
    assert ledger.read_ledger(lake).done == {}


def test_days_without_ticks_are_holes_of_each_symbol():
    ticks = pl.DataFrame({"key": ["A", "A", "B"], "day_us": [0, 2 * DAY_US, DAY_US]})
    assert find_holes(ticks, 0, 3 * DAY_US, None) == {"A": [DAY_US], "B": [0, 2 * DAY_US]}
    assert find_holes(ticks, 0, 3 * DAY_US, ["A", "C"]) == {
        "A": [DAY_US],
        "C": [0, DAY_US, 2 * DAY_US],
    }


def test_a_chunk_holds_whole_days_by_the_number_of_ticks(lake, monkeypatch):
    assert chunks.fit_us(Lakehouse(lake), NOON_US - 30 * DAY_US, NOON_US + DAY_US) == 31 * DAY_US
    monkeypatch.setattr(chunks, "CHUNK_TICKS", 20)
    assert chunks.fit_us(Lakehouse(lake), NOON_US - 30 * DAY_US, NOON_US + DAY_US) == 3 * DAY_US
