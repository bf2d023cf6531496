"""Compare pairs of rows, and look further and further back for what explains a difference; nothing is read while nothing differs."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from contracts.features import Column
from contracts.settings import Settings
from contracts.windows import Level
from feature_store.parity import causes
from feature_store.parity.causes import NO_YOUNG, NOTHING_LATE
from feature_store.parity.lines import Line, compare
from feature_store.parity.youth import Young

# The longest window and the bar before it, which may lie beyond a halt of an hour, or beyond a weekend.
LOOK_BACK_US = (3 * 3_600_000_000, 4 * 86_400_000_000)


def explained(
    settings: Settings,
    level: Level,
    pairs: pl.DataFrame,
    columns: Sequence[Column],
    symbols: Sequence[str] | None = None,
    young: Young = NO_YOUNG,
) -> list[Line]:
    """A line per column over pairs of rows of one level, with what differs explained as far as the lakehouse can."""
    lines = compare(pairs, columns, replace(NOTHING_LATE, young=young))
    for back_us in LOOK_BACK_US:
        if not any(line.unexplained for line in lines):
            break
        first_us, last_us = pairs.select(first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()).row(0)
        lines = compare(pairs, columns, causes.read(settings, level, first_us - back_us, last_us + 1, symbols, young))
    return lines


def late_rows(settings: Settings, level: Level, rows: pl.DataFrame, symbols: Sequence[str] | None = None) -> pl.Series:
    """Which of these rows (symbol, event_time_us), that the live side lacks, stand on a bar with a late tick."""
    if rows.is_empty():
        return pl.Series(dtype=pl.Boolean)
    first_us, last_us = rows.select(first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()).row(0)
    return causes.read(settings, level, first_us, last_us + 1, symbols).in_bar(rows)
