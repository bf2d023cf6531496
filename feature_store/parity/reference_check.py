"""Backfilled rows against the naive evaluator: a seeded sample, from a few hours, with ticks read
as far back as their windows reach.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts.config.settings import Settings
from contracts.features import columns
from contracts.windows import LEVELS
from feature_store.backfill import chunks
from feature_store.backfill.chunks import Chunk
from feature_store.definition import reference
from feature_store.parity.causes import NOTHING_LATE
from feature_store.parity.column_diff import Lines, compare, pair
from lakehouse import tables, tick_scans

HOUR_US = 3_600_000_000
HOURS_MAX, SYMBOLS_MAX = (
    8,
    5,
)  # the ticks of so many hours and symbols are read, not those of the whole range


@dataclass
class Checked:
    """Rows of the sample, those the oracle has no row for, and a line per column (expected: the
    oracle; got: backfilled).
    """

    rows: int = 0
    extra: int = 0
    lines: Lines = field(default_factory=Lines)

    @property
    def unexplained(self) -> int:
        """Values and rows that the oracle does not have."""
        return self.extra + self.lines.unexplained


def check(
    settings: Settings,
    span: Chunk,
    hours: Collection[int],
    sample: int,
    seed: int,
    symbols: Sequence[str] | None = None,
) -> Checked:
    """About `sample` rows per view of `span`, from some of `hours` (hours since 1970 with rows);
    the same seed, the same rows.
    """
    chance, checked = random.Random(seed), Checked()
    chosen = sorted(chance.sample(sorted(hours), min(HOURS_MAX, len(hours))))
    for hour in chosen:
        inside = Chunk(max(hour * HOUR_US, span.from_us), min((hour + 1) * HOUR_US, span.to_us))
        drawn = _drawn(settings, inside, -(-sample // len(chosen)), chance, symbols)
        for view, expected in _evaluated(settings, inside, drawn):
            _compare(checked, view, expected, drawn[view])
    return checked


def _drawn(
    settings: Settings, span: Chunk, rows: int, chance: random.Random, symbols: Sequence[str] | None
) -> dict[str, pl.DataFrame]:
    """At most `rows` rows of each view, all of a few symbols."""
    views = {
        lv.view: tables.read_features(settings, lv.view, span.from_us, span.to_us, symbols)
        for lv in LEVELS
    }
    every = sorted(set[str]().union(*(frame["symbol"].unique() for frame in views.values())))
    few = chance.sample(every, min(SYMBOLS_MAX, len(every)))
    drawn = {}
    for view, frame in views.items():
        own = frame.filter(pl.col("symbol").is_in(few))
        drawn[view] = own[sorted(chance.sample(range(len(own)), min(rows, len(own))))]
    return drawn


def _evaluated(
    settings: Settings, span: Chunk, drawn: dict[str, pl.DataFrame]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The same rows by the naive evaluator, per view."""
    only = {
        (view, symbol, us // 1_000_000)
        for view, rows in drawn.items()
        for symbol, us in rows["symbol", "event_time_us"].iter_rows()
    }
    symbols = sorted({symbol for _, symbol, _ in only})
    lookback = chunks.lookback(settings, span, symbols)
    begins = dict.fromkeys(symbols, lookback.base_us) | {
        symbol: us for symbol, us in lookback.further if symbol in symbols
    }
    yield from (
        reference.features(tick_scans.copies(settings, begins, span.to_us), only=only).items()
        if only
        else ()
    )


def _compare(checked: Checked, view: str, expected: pl.DataFrame, got: pl.DataFrame) -> None:
    (level,) = (level for level in LEVELS if level.view == view)
    pairs = pair(expected, got)
    checked.rows += len(got)
    checked.extra += len(got) - len(pairs)
    checked.lines.add(compare(pairs, columns(level), NOTHING_LATE))
