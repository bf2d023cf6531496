"""Compare pairs of rows, and look further and further back for what explains a difference; nothing
is read while nothing differs.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from contracts.config.settings import Settings
from contracts.features import Column
from contracts.windows import Level
from feature_store.parity import causes
from feature_store.parity.added_columns import Young
from feature_store.parity.causes import NO_YOUNG, NOTHING_LATE
from feature_store.parity.column_diff import Line, compare

SECOND_US = 1_000_000
# Beyond twice the longest window: the bar before it lies there, unless the market was closed.
NEAR_S = 600
FAR_US = (
    4 * 86_400 * SECOND_US
)  # a weekend, and a holiday beside it; read for symbols alone that have no nearer bar


def explained(
    settings: Settings,
    level: Level,
    pairs: pl.DataFrame,
    columns: Sequence[Column],
    symbols: Sequence[str] | None = None,
    young: Young = NO_YOUNG,
) -> list[Line]:
    """A line per column over pairs of rows of one level, with what differs explained as far as the
    lakehouse can.
    """
    lines = compare(pairs, columns, replace(NOTHING_LATE, young=young))
    if not _open(lines):
        return lines
    first_us, last_us = _span(pairs)
    near_us = first_us - (2 * level.window_max_s + NEAR_S) * SECOND_US
    near = causes.read(settings, level, near_us, last_us + 1, symbols, young)
    lines = compare(pairs, columns, near)
    before = near.bars.filter(pl.col("end_us") <= first_us - level.window_max_s * SECOND_US)
    alone = sorted(set(pairs["symbol"].unique()) - set(before["symbol"].unique()))
    if _open(lines) and alone:
        lines = compare(
            pairs,
            columns,
            near.joined(causes.read(settings, level, first_us - FAR_US, last_us + 1, alone)),
        )
    return lines


def _open(lines: Sequence[Line]) -> bool:
    return any(line.unexplained for line in lines)


def _span(rows: pl.DataFrame) -> tuple[int, int]:
    first_us, last_us = rows.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    return first_us, last_us


def late_rows(
    settings: Settings, level: Level, rows: pl.DataFrame, symbols: Sequence[str] | None = None
) -> pl.Series:
    """Which of these rows (symbol, event_time_us), that the live side lacks, stand on a bar with a
    late tick.
    """
    if rows.is_empty():
        return pl.Series(dtype=pl.Boolean)
    first_us, last_us = _span(rows)
    return causes.read(settings, level, first_us, last_us + 1, symbols).in_bar(rows)
