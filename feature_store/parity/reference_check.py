"""Compares a seeded sample of backfilled rows with the reference implementation.

The sample is from a few hours, and its ticks are read as far back as its windows need.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.features import columns
from contracts.units import HOUR_US
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


def check(
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
        for view, expected in _evaluate(lake, inside, drawn):
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
    available = sorted(set[str]().union(*(frame["symbol"].unique() for frame in views.values())))
    few = generator.sample(available, min(SYMBOLS_MAX, len(available)))
    drawn = {}
    for view, frame in views.items():
        candidates = frame.filter(pl.col("symbol").is_in(few))
        positions = generator.sample(range(len(candidates)), min(rows, len(candidates)))
        drawn[view] = candidates[sorted(positions)]
    return drawn


def _evaluate(
    lake: Lakehouse, span: Chunk, drawn: dict[str, pl.DataFrame]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The same rows by the reference implementation, per view."""
    only = {
        (view, symbol, us // 1_000_000)
        for view, rows in drawn.items()
        for symbol, us in rows["symbol", "event_time_us"].iter_rows()
    }
    symbols = sorted({symbol for _, symbol, _ in only})
    lookback = chunks.lookback(lake, span, symbols)
    begins = dict.fromkeys(symbols, lookback.base_us) | {
        symbol: us for symbol, us in lookback.further if symbol in symbols
    }
    yield from (
        reference.features(tick_scans.copies(lake, begins, span.to_us), only=only).items()
        if only
        else ()
    )


def _compare(result: ReferenceCheck, view: str, expected: pl.DataFrame, got: pl.DataFrame) -> None:
    (level,) = (level for level in LEVELS if level.view == view)
    pairs = pair(expected, got)
    result.rows += len(got)
    result.extra += len(got) - len(pairs)
    result.diffs.add(compare(pairs, columns(level), NOTHING_LATE))
