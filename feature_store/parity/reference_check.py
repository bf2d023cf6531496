"""Compares a seeded sample of backfilled rows with the reference implementation.

The sample is from a few hours, and its ticks are read as far back as its windows need.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.durations import HOUR_US, SECOND_US
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.backfill import chunks
from feature_store.backfill.chunks import Chunk
from feature_store.definition import reference
from feature_store.parity.causes import NOTHING_LATE
from feature_store.parity.column_diff import ColumnDiffs, compare, pair
from lakehouse import tick_scans
from lakehouse.tables import Lakehouse

# Bound the ticks that are read, however long the range is.
HOURS_MAX = 8
SYMBOLS_MAX = 5


@dataclass
class ReferenceCheck:
    """The compared sample.

    `rows` counts its rows, `extra` those without a reference row; `diffs` has one per column
    (expected: reference; got: backfilled).
    """

    rows: int = 0
    extra: int = 0
    diffs: ColumnDiffs = field(default_factory=ColumnDiffs)

    @property
    def unexplained(self) -> int:
        """Values that differ, and rows without a reference row."""
        return self.extra + self.diffs.unexplained


def check_sample(
    lake: Lakehouse,
    span: Chunk,
    hours: Collection[int],
    sample: int,
    seed: int,
    symbols: Sequence[str] | None = None,
) -> ReferenceCheck:
    """Compare about `sample` rows per view of `span`, from some of `hours` (since 1970, with rows).

    The same seed draws the same rows.
    """
    generator, result = random.Random(seed), ReferenceCheck()
    chosen = sorted(generator.sample(sorted(hours), min(HOURS_MAX, len(hours))))
    for hour in chosen:
        inside = Chunk(max(hour * HOUR_US, span.from_us), min((hour + 1) * HOUR_US, span.to_us))
        drawn = _draw(lake, inside, -(-sample // len(chosen)), generator, symbols)
        for view, expected in evaluate(lake, drawn).items():
            _compare(result, view, expected, drawn[view])
    return result


def _draw(
    lake: Lakehouse,
    span: Chunk,
    rows: int,
    generator: random.Random,
    symbols: Sequence[str] | None,
) -> dict[str, pl.DataFrame]:
    """At most `rows` rows of each view, all of the same few symbols."""
    views = {
        lv.view: lake.read_features(lv.view, span.from_us, span.to_us, symbols) for lv in LEVELS
    }
    available = pl.concat(frame["symbol"] for frame in views.values()).unique().sort().to_list()
    few = generator.sample(available, min(SYMBOLS_MAX, len(available)))
    candidates = {view: frame.filter(pl.col("symbol").is_in(few)) for view, frame in views.items()}
    return {view: _draw_rows(frame, rows, generator) for view, frame in candidates.items()}


def _draw_rows(rows: pl.DataFrame, count: int, generator: random.Random) -> pl.DataFrame:
    """At most `count` of the rows, in their order."""
    positions = generator.sample(range(len(rows)), min(count, len(rows)))
    return rows[sorted(positions)]


def evaluate(lake: Lakehouse, drawn: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The same rows, given by symbol and event_time_us, by the reference implementation, per view.

    Reads silver as far back as their windows need.
    """
    drawn_keys = pl.concat(
        rows.select(pl.lit(view), "symbol", pl.col("event_time_us") // SECOND_US)
        for view, rows in drawn.items()
    )
    if drawn_keys.is_empty():
        return {}
    symbols = drawn_keys["symbol"].unique().sort().to_list()
    times = pl.concat(rows["event_time_us"] for rows in drawn.values())
    first_us, last_us = times.min(), times.max()
    assert isinstance(first_us, int) and isinstance(last_us, int)
    span = Chunk(first_us, last_us + 1)
    lookback = chunks.lookback(lake, span, symbols)
    begins_us = dict.fromkeys(symbols, lookback.base_us) | dict(lookback.further)
    ticks = tick_scans.read_all(lake, begins_us, span.to_us)
    return reference.features(ticks, only=set(drawn_keys.iter_rows()))


def _compare(result: ReferenceCheck, view: str, expected: pl.DataFrame, got: pl.DataFrame) -> None:
    (level,) = (level for level in LEVELS if level.view == view)
    pairs = pair(expected, got)
    result.rows += len(got)
    result.extra += len(got) - len(pairs)
    result.diffs.add(compare(pairs, columns(level), NOTHING_LATE))
