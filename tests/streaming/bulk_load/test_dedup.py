"""Deduplication against a naive set, and rejects that are stored once, on real Iceberg tables."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.tick import MESSAGE_BYTES_MAX, TRADE_KEY, Reason, Rejected
from lakehouse.schemas import DEAD_LETTER, SILVER
from lakehouse.tables import Lakehouse
from streaming.bulk_load.dedup import Deduplicator, fingerprints
from streaming.bulk_load.rejects import append_rejects
from streaming.feeds import FeedReject
from streaming.feeds.tick_frame import conform

DAY = 19_800
NOW_US = DAY * DAY_US + 1
trades = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("ST"), st.integers(0, 6)))


def frame(keys: list[tuple[str, str, int]], day: int = DAY) -> pl.DataFrame:
    rows = [
        {
            "venue": venue,
            "symbol": symbol,
            "trade_id": str(number),
            "event_time_us": day * DAY_US + at,
            "ingest_time_us": day * DAY_US + at,
            "price": 1.0,
            "size": 1.0,
            "side": 1,
            "seq": number,
        }
        for at, (venue, symbol, number) in enumerate(keys)
    ]
    schema = {"venue": pl.String, "symbol": pl.String, "trade_id": pl.String}
    return conform(pl.DataFrame(rows) if rows else pl.DataFrame(schema=schema))


@pytest.fixture(scope="module")
def silver(tmp_path_factory):
    lake = Lakehouse(Settings(home=tmp_path_factory.mktemp("lake")))
    lake.create()
    lake.append_ticks(frame([("A", "S", 0), ("A", "S", 1), ("B", "T", 0)]))
    return lake.table(SILVER)


def keys_of(ticks: pl.DataFrame) -> list[tuple[str, str, str]]:
    return ticks.select(TRADE_KEY).rows()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(trades.filter(len), min_size=1, max_size=3))
def test_every_trade_is_fresh_once_stored_or_a_duplicate(silver, loads):
    stored = {("A", "S", "0"), ("A", "S", "1"), ("B", "T", "0")}
    deduplicator, loaded = Deduplicator(silver), set()
    for load in loads:
        result = deduplicator.remove_duplicates(DAY, frame(load))
        keys = [(venue, symbol, str(number)) for venue, symbol, number in load]
        fresh = [key for key in dict.fromkeys(keys) if key not in stored | loaded]
        assert keys_of(result.fresh) == fresh
        assert result.already == sum(key in stored for key in keys)
        assert result.duplicates == len(keys) - result.already - len(fresh)
        loaded.update(fresh)


def test_the_same_trade_on_another_day_is_not_a_duplicate(silver):
    deduplicator = Deduplicator(silver)
    key = [("A", "S", 5)]
    assert deduplicator.remove_duplicates(DAY, frame(key)).fresh.height == 1
    assert deduplicator.remove_duplicates(DAY + 1, frame(key, DAY + 1)).fresh.height == 1


def test_a_pair_that_comes_later_is_read_from_silver_too(silver):
    deduplicator = Deduplicator(silver)
    assert deduplicator.remove_duplicates(DAY, frame([("A", "S", 0)])).already == 1
    assert deduplicator.remove_duplicates(DAY, frame([("B", "T", 0)])).already == 1
    assert deduplicator.remove_duplicates(DAY, frame([("A", "T", 0)])).fresh.height == 1


def test_the_cache_is_bounded_but_never_loses_the_day_in_use(silver):
    deduplicator = Deduplicator(silver, fingerprints_max=3)
    many = frame([("A", "S", number) for number in range(10, 16)])
    assert deduplicator.remove_duplicates(DAY, many).fresh.height == 6
    assert deduplicator.remove_duplicates(DAY, many).duplicates == 6
    other = [("A", "S", number) for number in range(4)]
    deduplicator.remove_duplicates(DAY + 1, frame(other, DAY + 1))
    assert list(deduplicator._days) == [DAY + 1]


def test_fingerprints_separate_venue_symbol_and_id():
    marks = fingerprints(frame([("A", "S", 1), ("A", "S", 2), ("B", "S", 1), ("A", "T", 1)]))
    assert marks.n_unique() == 4
    assert fingerprints(frame([("A", "S", 1)]))[0] == marks[0]


@pytest.fixture
def lake(tmp_path):
    own = Settings(home=tmp_path)
    Lakehouse(own).create()
    return own


def reject(row: int, raw: bytes = b"raw", origin: str = "a.csv") -> FeedReject:
    return FeedReject(origin, row, Rejected(Reason.INVALID_FIELD, raw, "unreadable: price"))


def stored(lake) -> list[dict]:
    return Lakehouse(lake).table(DEAD_LETTER).scan().to_arrow().to_pylist()


def test_a_rejected_row_is_stored_once_however_often_it_is_loaded(lake):
    rejects = [reject(1), reject(2), reject(7, origin="b.csv")]
    assert append_rejects(lake, rejects, NOW_US) == 3
    assert append_rejects(lake, [*rejects, reject(3)], NOW_US + 1) == 1
    places = sorted((row["source"], row["row_number"]) for row in stored(lake))
    assert places == [("a.csv", 1), ("a.csv", 2), ("a.csv", 3), ("b.csv", 7)]


def test_another_content_at_the_same_row_is_another_reject(lake):
    append_rejects(lake, [reject(1, b"old")], NOW_US)
    assert append_rejects(lake, [reject(1, b"new")], NOW_US) == 1
    assert {row["raw"] for row in stored(lake)} == {b"old", b"new"}


def test_a_long_row_is_truncated_and_still_stored_once(lake):
    long = reject(1, b"x" * (MESSAGE_BYTES_MAX + 9))
    assert append_rejects(lake, [long], NOW_US) == 1
    assert append_rejects(lake, [long], NOW_US) == 0
    (row,) = stored(lake)
    assert len(row["raw"]) == MESSAGE_BYTES_MAX
    assert (row["reason"], row["detail"]) == ("invalid_field", "unreadable: price")


def test_without_rejects_nothing_is_committed(lake):
    assert append_rejects(lake, [], NOW_US) == 0
    assert Lakehouse(lake).table(DEAD_LETTER).current_snapshot() is None
