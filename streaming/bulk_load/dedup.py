"""Deduplication of a bulk load: day by day, find ticks that silver already contains."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
from pyiceberg.expressions import And, In
from pyiceberg.table import Table

from contracts.durations import DAY_US
from contracts.tick import TRADE_KEY
from lakehouse import tables

PAIR = ("venue", "symbol")
# Fingerprints cached for the days used last, 16 bytes each. An evicted day is read from silver
# again when it is needed.
FINGERPRINTS_MAX = 8_000_000
# Two 64-bit hashes combined: the probability that any two of ten million ticks of a day collide is
# 1e-25.
SEEDS = (1, 2)
FINGERPRINT = pl.UInt128()


def fingerprints(ticks: pl.DataFrame) -> pl.Series:
    """(venue, symbol, trade_id) of each row as 128 bits.

    The hash is only stable within this process, so never store fingerprints.
    """
    high, low = (pl.struct(TRADE_KEY).hash(seed).cast(FINGERPRINT) for seed in SEEDS)
    return ticks.select(mark=high * 2**64 + low).to_series()


@dataclass
class _Day:
    """Fingerprints of one day: `stored` in silver before this load, `loaded` by it.

    `pairs`: the (venue, symbol) pairs for which silver was read.
    """

    pairs: set[tuple[str, str]] = field(default_factory=set)
    stored: pl.Series = field(default_factory=lambda: pl.Series(dtype=FINGERPRINT))
    loaded: pl.Series = field(default_factory=lambda: pl.Series(dtype=FINGERPRINT))

    @property
    def size(self) -> int:
        return len(self.stored) + len(self.loaded)


@dataclass(frozen=True, slots=True)
class DedupResult:
    """New ticks, and the number of ticks in silver already and of duplicates within this load."""

    fresh: pl.DataFrame
    already: int
    duplicates: int


class Deduplicator:
    """Removes ticks that silver contains, with a bounded cache of fingerprints per day."""

    def __init__(self, table: Table, fingerprints_max: int = FINGERPRINTS_MAX) -> None:
        self.table = table
        self.fingerprints_max = fingerprints_max
        self._days: OrderedDict[int, _Day] = OrderedDict()

    def remove_duplicates(self, number: int, ticks: pl.DataFrame) -> DedupResult:
        """The new ticks of one UTC day (`number`: days since 1970), which then count as loaded."""
        day, marks = self._day(number, ticks), fingerprints(ticks)
        is_stored = _is_contained(marks, day.stored)
        is_repeated = _is_contained(marks, day.loaded) | ~_is_first(marks)
        is_duplicate = ~is_stored & is_repeated
        is_fresh = ~(is_stored | is_duplicate)
        day.loaded = pl.concat([day.loaded, marks.filter(is_fresh)], rechunk=False)
        self._evict(keep=number)
        return DedupResult(ticks.filter(is_fresh), int(is_stored.sum()), int(is_duplicate.sum()))

    def _day(self, number: int, ticks: pl.DataFrame) -> _Day:
        day = self._days.setdefault(number, _Day())
        self._days.move_to_end(number)
        missing = set(ticks.select(PAIR).unique().rows()) - day.pairs
        if missing:
            day.stored = pl.concat([day.stored, *self._read_stored(number, missing)])
            day.pairs |= missing
        return day

    def _read_stored(self, number: int, pairs: set[tuple[str, str]]) -> Iterator[pl.Series]:
        """Fingerprints of the pairs' ticks in silver on that day.

        The row filter skips data files without any of the venues and symbols.
        """
        names = And(
            In("venue", {venue for venue, _ in pairs}),
            In("symbol", {symbol for _, symbol in pairs}),
        )
        row_filter = And(tables.between(number * DAY_US, (number + 1) * DAY_US), names)
        scan = self.table.refresh().scan(row_filter=row_filter, selected_fields=TRADE_KEY)
        exact = pl.DataFrame(sorted(pairs), schema=list(PAIR), orient="row")
        for batch in scan.to_arrow_batch_reader():
            yield fingerprints(pl.DataFrame(pl.from_arrow(batch)).join(exact, on=PAIR, how="semi"))

    def _evict(self, keep: int) -> None:
        """Drop the days used least recently, but never the day `keep`, until the bound holds."""
        while (
            sum(day.size for day in self._days.values()) > self.fingerprints_max
            and next(iter(self._days)) != keep
        ):
            self._days.popitem(last=False)


def _is_contained(marks: pl.Series, others: pl.Series) -> pl.Series:
    """Whether each fingerprint is one of the others."""
    return (
        marks.is_in(others.implode()) if len(others) else pl.repeat(False, len(marks), eager=True)
    )


def _is_first(marks: pl.Series) -> pl.Series:
    """Whether each fingerprint is the first of its value."""
    return (
        pl.repeat(True, len(marks), eager=True)
        if marks.n_unique() == len(marks)
        else marks.is_first_distinct()
    )
