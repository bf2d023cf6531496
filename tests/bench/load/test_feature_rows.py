"""Feature rows as the live job publishes them."""

from collections import Counter

import numpy as np
import pytest

from bench.load import feature_rows
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.online.store import encode_row

START_MS = 1_800_000_000_000


def rows_of(count, seconds):
    return list(feature_rows.stream(feature_rows.symbols(count), seconds, START_MS))


def test_feature_rows_are_accepted_by_the_writer():
    rows = rows_of(3, 60)
    assert len(rows) == 3 * (60 + 6 + 1)
    assert [encode_row(row).view for row in rows] == [row["view"] for row in rows]
    for level in LEVELS:
        row = next(row for row in rows if row["view"] == level.view)
        assert {column.name for column in columns(level)} < set(row)


def test_symbols_are_distinct_and_in_the_form_of_the_platform():
    names = feature_rows.symbols(12)
    assert len(set(names)) == 12
    assert all(name.startswith("BENCH:S") for name in names)
    assert names == sorted(names)


def test_rows_are_in_the_order_of_event_time_and_after_the_start():
    times_ms = [row["event_time_ms"] for row in rows_of(2, 61)]
    assert times_ms == sorted(times_ms)
    assert (times_ms[0], times_ms[-1]) == (START_MS + 1000, START_MS + 61_000)


@pytest.mark.parametrize("seconds", [1, 9, 10, 59, 60, 125])
def test_bars_end_at_multiples_of_their_length(seconds):
    counts = Counter(row["view"] for row in rows_of(2, seconds))
    for level in LEVELS:
        assert counts[level.view] == 2 * (seconds // level.tile_s)


def test_a_row_is_known_shortly_before_its_end():
    assert {row["event_time_ms"] * 1000 - row["known_at_us"] for row in rows_of(1, 60)} == {700}


def test_the_same_stream_is_made_each_time():
    assert rows_of(2, 20) == rows_of(2, 20)


def test_some_values_are_null_and_at_most_one_in_a_row():
    rng = np.random.default_rng(1)
    level = LEVELS[0]
    names = [column.name for column in columns(level)]
    rows = [feature_rows.row(level, "BENCH:S0000", START_MS, rng) for _ in range(500)]
    nulls = [sum(row[name] is None for name in names) for row in rows]
    assert set(nulls) == {0, 1}
    share = sum(nulls) / (500 * len(names))
    assert 0.5 * feature_rows.NULL_SHARE < share < 2 * feature_rows.NULL_SHARE
