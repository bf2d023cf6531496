"""The rows of the gold tables: slices of a range, and which of several live rows counts."""

import hypothesis
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.parity import stored_rows
from feature_store.parity.added_columns import AddedColumnsTracker, added_columns
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse
from tests.support import parity_tables
from tests.support.parity_tables import START, A, B, S

VIEW = "tick_1s"
NAME = "volume_1m"


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("lake"))
    Lakehouse(settings).create()
    return settings


@pytest.fixture
def put(empty):
    """Append rows (symbol, second, warm_s, value) to a table that this test has for itself."""
    for table in (GOLD_LIVE, GOLD):
        Lakehouse(empty).catalog.drop_table(table)
    Lakehouse(empty).create()

    def put(table, *rows, known_at_us=0):
        names = ("symbol", "event_time_us", "warm_s", NAME)
        frame = pl.DataFrame(list(rows), names, orient="row", infer_schema_length=None)
        shifted = frame.with_columns(
            pl.col("event_time_us") * S + START,
            pl.col(NAME).cast(pl.Float64),
            known_at_us=pl.lit(known_at_us),
        )
        parity_tables.put_features(empty, table, {VIEW: shifted})
        return Lakehouse(empty)

    return put


def live(lakehouse, symbols=None):
    rows, repeated = stored_rows.live_rows(lakehouse, VIEW, START, START + 99 * S, symbols)
    second = (pl.col("event_time_us") - START) // S
    return rows.select("symbol", second, "warm_s", NAME).rows(), repeated


def test_distinct_live_rows_are_all_there_in_order_of_time(put):
    lakehouse = put(GOLD_LIVE, (B, 2, 9, 1.0), (A, 2, 9, 2.0), (A, 1, 9, 3.0))
    assert live(lakehouse) == ([(A, 1, 9, 3.0), (A, 2, 9, 2.0), (B, 2, 9, 1.0)], 0)
    assert live(lakehouse, [B]) == ([(B, 2, 9, 1.0)], 0)


def test_of_repeated_rows_the_one_with_most_history_counts(put):
    lakehouse = put(GOLD_LIVE, (A, 1, 5, 1.0), (A, 1, 60, 2.0), (A, 1, None, 3.0), (B, 1, 5, 4.0))
    assert live(lakehouse) == ([(A, 1, 60, 2.0), (B, 1, 5, 4.0)], 2)


def test_of_rows_with_equal_history_the_one_with_more_values_counts(put):
    lakehouse = put(GOLD_LIVE, (A, 1, 60, None), (A, 1, 60, 2.0))
    assert live(lakehouse) == ([(A, 1, 60, 2.0)], 1)


def test_of_rows_equal_in_both_the_newest_counts(put):
    put(GOLD_LIVE, (A, 1, 60, 2.0), known_at_us=2)
    assert live(put(GOLD_LIVE, (A, 1, 60, 1.0), known_at_us=1)) == ([(A, 1, 60, 2.0)], 1)


def test_keys_are_of_one_view_and_of_the_range_without_its_end(put, empty):
    lakehouse = put(GOLD, (A, 1, 1, 1.0), (A, 2, 1, 1.0), (B, 1, 1, 1.0), (A, 3, 1, 1.0))
    other = pl.DataFrame({"symbol": [A], "event_time_us": [START + S], "warm_s": [1]})
    parity_tables.put_features(empty, GOLD, {"tick_1m": other})

    def keys(*symbols):
        span = START + S, START + 3 * S
        return sorted(stored_rows.keys(lakehouse, GOLD, VIEW, *span, *symbols).rows())

    assert keys() == [(A, START + S), (A, START + 2 * S), (B, START + S)]
    assert keys([B]) == [(B, START + S)] and keys([]) == []


@pytest.mark.parametrize(
    ("filled", "message", "command"),
    [
        (GOLD, "no live job has published a row", "tick job submit"),
        (GOLD_LIVE, "nothing was backfilled", "tick backfill"),
    ],
)
def test_an_empty_side_is_named_with_the_command_that_fills_it(put, filled, message, command):
    lakehouse = put(filled, (A, 1, 1, 1.0))
    with pytest.raises(DatasetError, match=message) as caught:
        stored_rows.covered_range(lakehouse, START + 9999 * S)
    assert f"`{command}`" in caught.value.hint


@pytest.mark.parametrize(
    ("now_s", "expected"), [(9999, (20, 61)), (150, (20, 30)), (140, None), (130, None)]
)
def test_the_range_ends_before_open_bars_and_before_rows_that_may_be_uncommitted(
    put, now_s, expected
):
    put(GOLD_LIVE, (A, 10, 1, 1.0), (A, 60, 1, 1.0))
    lakehouse = put(GOLD, (A, 20, 1, 1.0), (A, 500, 1, 1.0))
    if expected is None:
        with pytest.raises(DatasetError, match="no time in common"):
            stored_rows.covered_range(lakehouse, START + now_s * S)
        return
    from_us, to_us = stored_rows.covered_range(lakehouse, START + now_s * S)
    # The live table ends right after its last row, in whole seconds of the file's statistics.
    assert (from_us, -(-to_us // S) * S) == tuple(START + s * S for s in expected)


@given(st.integers(0, 10**9), st.integers(1, 40 * 86_400))
@hypothesis.settings(max_examples=20)
def test_slices_cover_the_range_once_and_are_split_at_round_times(empty, first_s, length_s):
    from_us, to_us = first_s * S + 7, (first_s + length_s) * S + 7
    slices = list(stored_rows.slices(Lakehouse(empty), from_us, to_us))
    assert (slices[0][0], slices[-1][1]) == (from_us, to_us)
    assert all(one[1] == two[0] for one, two in zip(slices, slices[1:], strict=False))
    assert all(end % (7 * 86_400 * S) == 0 for _, end in slices[:-1]), "no rows: weeks"


def test_full_tables_are_sliced_more_finely(put, monkeypatch):
    lakehouse = put(GOLD, *((A, second, 1, 1.0) for second in range(100)))
    monkeypatch.setattr(stored_rows, "SLICE_ROWS", 50)
    slices = list(stored_rows.slices(lakehouse, START, START + 180 * S))
    assert [end - begin for begin, end in slices] == [60 * S] * 3


def test_a_new_table_has_no_added_column(empty):
    assert added_columns(Lakehouse(empty), GOLD) == frozenset()
    tracker = AddedColumnsTracker(Lakehouse(empty))
    frame = pl.DataFrame({"symbol": [A], "event_time_us": [S], NAME: [None]})
    state = tracker.update(columns(LEVELS[0]), frame, frame)
    assert state.live.columns == ["symbol"] and state.batch == frozenset()


def test_the_first_value_of_each_symbol_is_followed_over_slices_and_views(tmp_path):
    lakehouse = Lakehouse(Settings(home=tmp_path))
    lakehouse.create()
    for table in (GOLD, GOLD_LIVE):
        with lakehouse.table(table).update_schema() as update:
            update.delete_column(NAME).delete_column("volume_5m")
    lakehouse.create()
    assert added_columns(lakehouse, GOLD_LIVE) == {NAME, "volume_5m"}
    tracker = AddedColumnsTracker(lakehouse)

    def update(level, name, *rows):
        types = {"symbol": pl.String, "event_time_us": pl.Int64, name: pl.Float64}
        frame = pl.DataFrame(list(rows), types, orient="row")
        return tracker.update([c for c in columns(level) if c.name == name], frame, frame)

    first = update(LEVELS[0], NAME, (A, 1, None), (A, 2, 1.0), (A, 3, 1.0), (B, 1, None))
    assert dict(first.live.select("symbol", NAME).rows()) == {A: 2, B: None}
    assert first.batch == frozenset()
    update(LEVELS[1], "volume_5m", (B, 7, 1.0))
    last = update(LEVELS[0], NAME, (A, 9, 1.0), (B, 8, 1.0))
    assert sorted(last.live.select("symbol", NAME, "volume_5m").rows()) == [(A, 2, None), (B, 8, 7)]
    assert update(LEVELS[0], NAME, (A, 10, None)).batch == {NAME}
