"""Causes of differences, each by itself: less history, a late bar, an added column."""

import polars as pl
import pytest

from contracts.features import Column
from contracts.windows import LEVELS
from feature_store.parity.added_columns import AddedColumns
from feature_store.parity.causes import BAR_ENDS, NOTHING_LATE, Causes, late_bars
from tests.support.parity_tables import A, B, S

COLUMN = Column("volume_1m", "tick_1s", "base", 1e-3, True, 60)


def bars(*ends: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(ends), BAR_ENDS, orient="row").sort("end_us")


def rows(*keys: tuple[str, int], expected=1.0, got=1.0) -> pl.DataFrame:
    frame = pl.DataFrame(list(keys), {"symbol": pl.String, "event_time_us": pl.Int64}, orient="row")
    value = pl.lit(expected, pl.Float64).alias("volume_1m")
    return frame.with_columns(value, pl.lit(got, pl.Float64).alias("volume_1m:got"))


@pytest.mark.parametrize(
    ("event_us", "end_us"), [(0, S), (S - 1, S), (S, 2 * S), (59 * S + 999_999, 60 * S)]
)
def test_a_tick_belongs_to_the_bar_that_ends_after_it(event_us, end_us):
    ticks = pl.DataFrame({"key": [A], "event_time_us": [event_us]})
    assert late_bars(ticks, LEVELS[0]).rows() == [(A, end_us)]
    assert late_bars(ticks, LEVELS[2]).rows() == [(A, 60 * S)]


def test_many_late_ticks_of_a_bar_make_one_late_bar():
    ticks = pl.DataFrame({"key": [B, A, A, A], "event_time_us": [1, 3, 2, S]})
    ends = late_bars(ticks, LEVELS[0])
    assert sorted(ends.rows()) == [(A, S), (A, 2 * S), (B, S)] and ends["end_us"].is_sorted()


@pytest.mark.parametrize(
    ("late_s", "explains"), [(40, False), (41, True), (100, True), (101, False)]
)
def test_a_late_bar_explains_the_rows_whose_window_contains_it(late_s, explains):
    causes = Causes(bars((A, late_s * S)), bars())
    assert causes.late(rows((A, 100 * S)), COLUMN).to_list() == [explains]


def test_a_late_bar_explains_no_other_symbol():
    causes = Causes(bars((B, 90 * S)), bars())
    assert causes.late(rows((A, 100 * S), (B, 100 * S)), COLUMN).to_list() == [False, True]


def test_the_answers_are_in_the_order_of_the_rows():
    causes = Causes(bars((A, 90 * S), (B, 500 * S)), bars())
    asked = rows((B, 510 * S), (A, 400 * S), (A, 95 * S), (B, 95 * S))
    assert causes.late(asked, COLUMN).to_list() == [True, False, True, False]


def test_only_the_bar_of_the_row_explains_a_missing_row():
    causes = Causes(bars((A, 90 * S)), bars())
    asked = rows((A, 91 * S), (A, 90 * S), (B, 90 * S))
    assert causes.in_bar(asked).to_list() == [False, True, False]


@pytest.mark.parametrize(
    ("expected_s", "got_s", "explains"),
    [(3600, 59, True), (3600, 60, False), (30, 30, False), (30, 59, False), (None, 59, False)],
)
def test_less_history_than_the_window_and_than_the_batch_is_warm_up(expected_s, got_s, explains):
    frame = pl.DataFrame(
        {"warm_s": [expected_s], "warm_s:got": [got_s]},
        {"warm_s": pl.Int64, "warm_s:got": pl.Int64},
    )
    assert NOTHING_LATE.warm_up(frame, 60).to_list() == [explains]


def test_a_live_row_before_the_first_value_of_its_symbol_is_older_than_the_column():
    added = AddedColumns(pl.DataFrame({"symbol": [A], "volume_1m": [100 * S]}))
    causes = Causes(bars(), bars(), added)
    asked = rows((A, 99 * S), (A, 100 * S), (B, 500 * S), got=None)
    assert causes.new_column(asked, COLUMN).to_list() == [True, False, True]
    assert not causes.new_column(rows((A, 99 * S)), COLUMN).any(), "it has a value"


def test_history_is_older_than_the_column_where_the_slice_has_no_value_at_all():
    causes = Causes(bars(), bars(), AddedColumns(batch=frozenset({"volume_1m"})))
    assert causes.new_column(rows((A, S), expected=None), COLUMN).to_list() == [True]
    assert causes.new_column(rows((A, S)), COLUMN).to_list() == [False]
    assert NOTHING_LATE.new_column(rows((A, S), expected=None), COLUMN).to_list() == [False]


def test_of_two_reads_every_bar_counts_once_in_order_of_time():
    near = Causes(bars((A, 9 * S)), bars((A, 9 * S)), AddedColumns(batch=frozenset({"x"})))
    both = near.combine(Causes(bars((A, 9 * S), (B, S)), bars((B, 2 * S))))
    assert both.late_bars.rows() == [(B, S), (A, 9 * S)]
    assert both.bars.rows() == [(B, 2 * S), (A, 9 * S)] and both.added is near.added
