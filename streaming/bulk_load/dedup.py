"""Which ticks silver holds already, day by day: what a bulk load must not write again."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
from pyiceberg.expressions import And, In
from pyiceberg.table import Table

from lakehouse import tables
from lakehouse.schemas import TRADE_KEY

DAY_US = 86_400_000_000
PAIR = ("venue", "symbol")
# Fingerprints of the days touched last, 16 bytes each. A day that was let go is read again from
# silver when it comes back.
FINGERPRINTS_MAX = 8_000_000
# Two 64-bit hashes in one number: that any two of ten million ticks of a day share it has a chance
# of 1e-25.
SEEDS = (1, 2)
MARK = pl.UInt128()


def fingerprints(ticks: pl.DataFrame) -> pl.Series:
    """(venue, symbol, trade_id) of each row as 128 bits. Equal within this process only, so never
    store them.
    """
    high, low = (pl.struct(TRADE_KEY).hash(seed).cast(MARK) for seed in SEEDS)
    return ticks.select(mark=high * 2**64 + low).to_series()


@dataclass
class _Day:
    pairs: set[tuple[str, str]] = field(default_factory=set)
    before: pl.Series = field(default_factory=lambda: pl.Series(dtype=MARK))
    ours: pl.Series = field(default_factory=lambda: pl.Series(dtype=MARK))

    @property
    def size(self) -> int:
        return len(self.before) + len(self.ours)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Ticks that are new, how many silver held before, and how many are copies of ticks of this
    load.
    """

    fresh: pl.DataFrame
    already: int
    duplicates: int


class Known:
    """Remembers days within its bound; whatever it forgot, silver tells it again."""

    def __init__(self, table: Table, fingerprints_max: int = FINGERPRINTS_MAX) -> None:
        self.table, self.fingerprints_max = table, fingerprints_max
        self._days: OrderedDict[int, _Day] = OrderedDict()

    def sort_out(self, number: int, ticks: pl.DataFrame) -> Sorted:
        """Part the ticks of one UTC day (its number since 1970); those returned as fresh count as
        loaded from now on.
        """
        day, marks = self._day(number, ticks), fingerprints(ticks)
        before = _among(marks, day.before)
        copies = ~before & (_among(marks, day.ours) | ~_first(marks))
        fresh = ~(before | copies)
        day.ours = pl.concat(
            [day.ours, marks if fresh.all() else marks.filter(fresh)], rechunk=False
        )
        self._forget(keep=number)
        return Sorted(
            ticks if fresh.all() else ticks.filter(fresh), int(before.sum()), int(copies.sum())
        )

    def _day(self, number: int, ticks: pl.DataFrame) -> _Day:
        day = self._days.setdefault(number, _Day())
        self._days.move_to_end(number)
        missing = set(ticks.select(PAIR).unique().rows()) - day.pairs
        if missing:
            day.before = pl.concat([day.before, *self._stored(number, missing)])
            day.pairs |= missing
        return day

    def _stored(self, number: int, pairs: set[tuple[str, str]]) -> Iterator[pl.Series]:
        """Fingerprints of what silver holds of these pairs on that day; files without any of them
        are not opened.
        """
        names = And(
            In("venue", {venue for venue, _ in pairs}),
            In("symbol", {symbol for _, symbol in pairs}),
        )
        wanted = And(tables.between(number * DAY_US, (number + 1) * DAY_US), names)
        scan = self.table.refresh().scan(row_filter=wanted, selected_fields=TRADE_KEY)
        exactly = pl.DataFrame(sorted(pairs), schema=list(PAIR), orient="row")
        for batch in scan.to_arrow_batch_reader():
            yield fingerprints(
                pl.DataFrame(pl.from_arrow(batch)).join(exactly, on=PAIR, how="semi")
            )

    def _forget(self, keep: int) -> None:
        while (
            sum(day.size for day in self._days.values()) > self.fingerprints_max
            and next(iter(self._days)) != keep
        ):
            self._days.popitem(last=False)


def _among(marks: pl.Series, others: pl.Series) -> pl.Series:
    """Whether each row is one of the others."""
    return (
        marks.is_in(others.implode()) if len(others) else pl.repeat(False, len(marks), eager=True)
    )


def _first(marks: pl.Series) -> pl.Series:
    """Whether each row is the first of its kind."""
    return (
        pl.repeat(True, len(marks), eager=True)
        if marks.n_unique() == len(marks)
        else marks.is_first_distinct()
    )
