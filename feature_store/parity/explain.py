"""Compares pairs of rows and searches the lakehouse for the causes of differences.

It reads further back step by step, and nothing while nothing differs.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from contracts.durations import SECOND_US
from contracts.features import Column
from contracts.windows import Level
from feature_store.parity import causes
from feature_store.parity.added_columns import AddedColumns
from feature_store.parity.causes import NO_ADDED_COLUMNS, NOTHING_LATE, Causes
from feature_store.parity.column_diff import ColumnDiff, compare
from lakehouse.tables import Lakehouse

# Margin beyond twice the longest window: it contains the bar before, unless the market was closed.
NEAR_S = 600
# A weekend and an adjacent holiday; read only for symbols without a nearer bar.
FAR_US = 4 * 86_400 * SECOND_US


def explain_differences(
    lake: Lakehouse,
    level: Level,
    pairs: pl.DataFrame,
    columns: Sequence[Column],
    symbols: Sequence[str] | None = None,
    added: AddedColumns = NO_ADDED_COLUMNS,
) -> list[ColumnDiff]:
    """One diff per column over pairs of rows of one level, explained as far as possible."""
    diffs = compare(pairs, columns, replace(NOTHING_LATE, added=added))
    if not _has_unexplained(diffs):
        return diffs
    first_us, last_us = _span(pairs)
    near_us = first_us - (2 * level.window_max_s + NEAR_S) * SECOND_US
    near = causes.read_causes(lake, level, near_us, last_us + 1, symbols, added)
    diffs = compare(pairs, columns, near)
    without_bar = _without_bar_before(pairs, near, first_us - level.window_max_s * SECOND_US)
    if _has_unexplained(diffs) and without_bar:
        far = causes.read_causes(lake, level, first_us - FAR_US, last_us + 1, without_bar)
        diffs = compare(pairs, columns, near.combine(far))
    return diffs


def _has_unexplained(diffs: Sequence[ColumnDiff]) -> bool:
    return any(diff.unexplained for diff in diffs)


def _without_bar_before(rows: pl.DataFrame, near: Causes, time_us: int) -> list[str]:
    """The symbols of `rows` of which no bar ended until `time_us`."""
    before = near.bars.filter(pl.col("end_us") <= time_us)
    return sorted(set(rows["symbol"]) - set(before["symbol"]))


def _span(rows: pl.DataFrame) -> tuple[int, int]:
    first_us, last_us = rows.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    return first_us, last_us


def late_rows(
    lake: Lakehouse, level: Level, rows: pl.DataFrame, symbols: Sequence[str] | None = None
) -> pl.Series:
    """Which of these rows (symbol, event_time_us), missing on the live side, have a late tick."""
    if rows.is_empty():
        return pl.Series(dtype=pl.Boolean)
    first_us, last_us = _span(rows)
    return causes.read_causes(lake, level, first_us, last_us + 1, symbols).in_bar(rows)
