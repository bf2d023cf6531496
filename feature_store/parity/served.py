"""Compares the features that /predict served with history's rows of the times in each record."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts import prediction
from contracts.features import COLUMNS
from contracts.windows import LEVELS, Level
from feature_store.backfill.chunks import Chunk
from feature_store.parity.column_diff import GOT, KEYS, ColumnDiffs, pair
from feature_store.parity.coverage import CoverageGaps
from feature_store.parity.explain import explained
from lakehouse.schemas import PREDICTIONS
from lakehouse.tables import Lakehouse, between

COLUMNS_OF = {
    level.view: {column.name: column for column in COLUMNS if column.view == level.view}
    for level in LEVELS
}


@dataclass
class Served:
    """Records by outcome, rows that history lacks, and a diff per column.

    Expected is history, got what was served. `given` records brought their features along,
    `repeated` ones occur more than once, `malformed` ones cannot be read; `undone` are used rows of
    a time that is not backfilled yet, `missing` those that history should have. Anything that may
    write to the topic may write malformed records: they are counted, and are not a defect of the
    features.
    """

    records: int = 0
    given: int = 0
    repeated: int = 0
    malformed: int = 0
    compared: int = 0
    undone: int = 0
    missing: int = 0
    diffs: ColumnDiffs = field(default_factory=ColumnDiffs)

    @property
    def unexplained(self) -> int:
        """Values that differ, and rows that history lacks."""
        return self.missing + self.diffs.unexplained


@dataclass(frozen=True, slots=True)
class Record:
    """One prediction from the online store: the row end used per view (µs UTC), its features."""

    symbol: str
    event_times_us: dict[str, int]
    features: dict[str, float | None]


def check(
    lake: Lakehouse,
    result: Served,
    span: Chunk,
    bounds: Chunk,
    symbols: Sequence[str] | None,
    undone: CoverageGaps,
) -> None:
    """Add to `result` the records served in `span`, with those of their rows ending in `bounds`."""
    by_features: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in _records(_read(lake, span), symbols, result):
        by_features[tuple(sorted(record.features))].append(record)
    for names, records in by_features.items():
        for level in LEVELS:
            own = [name for name in names if name in COLUMNS_OF[level.view]]
            used = _used(records, level, own, bounds)
            if own and len(used):
                _compare(lake, result, level, used, undone)


def _read(lake: Lakehouse, span: Chunk) -> pl.DataFrame:
    row_filter = between(span.from_us, span.to_us, "served_at")
    frame = pl.from_arrow(lake.table(PREDICTIONS).scan(row_filter=row_filter).to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _records(rows: pl.DataFrame, symbols: Sequence[str] | None, result: Served) -> Iterator[Record]:
    """The records to compare; the others are only counted."""
    distinct = rows.unique(
        ["request_id", "symbol", "served_at_us", "event_times_us", "features"], maintain_order=True
    )
    result.repeated += len(rows) - len(distinct)
    for source, symbol, times, features in distinct.select(
        "source", "symbol", "event_times_us", "features"
    ).iter_rows():
        if symbols is not None and symbol not in symbols:
            continue
        result.records += 1
        record = _record(symbol, times, features) if source == prediction.Source.ONLINE else None
        if source == prediction.Source.REQUEST:
            result.given += 1
        elif record is None:
            result.malformed += 1
        else:
            result.compared += 1
            yield record


def _record(symbol: str | None, times: str | None, features: str | None) -> Record | None:
    """The record; None where a part is missing or has the wrong type."""
    used, values = prediction.read_event_times(times), prediction.read_features(features)
    if symbol is None or used is None or values is None:
        return None
    ends = {view: us for view, us in used.items() if us is not None}
    return Record(symbol, ends, values) if len(ends) == len(used) else None


def _used(
    records: Sequence[Record], level: Level, names: Sequence[str], bounds: Chunk
) -> pl.DataFrame:
    """The rows of a view as they were served: symbol, event_time_us and the features `names`."""
    rows = [
        (record.symbol, us, *(record.features[name] for name in names))
        for record in records
        if bounds.from_us <= (us := record.event_times_us.get(level.view, -1)) < bounds.to_us
    ]
    return pl.DataFrame(
        rows,
        {"symbol": pl.String(), "event_time_us": pl.Int64(), **dict.fromkeys(names, pl.Float64())},
        orient="row",
    )


def _compare(
    lake: Lakehouse, result: Served, level: Level, used: pl.DataFrame, undone: CoverageGaps
) -> None:
    first_us, last_us = used.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    symbols = used["symbol"].unique().sort().to_list()
    history = lake.read_features(level.view, first_us, last_us + 1, symbols)
    absent = undone.inside(used.join(history, on=KEYS, how="anti")["event_time_us"])
    result.undone += int(absent.sum())
    result.missing += len(absent) - int(absent.sum())
    columns = [COLUMNS_OF[level.view][name] for name in used.columns[len(KEYS) :]]
    # A record does not contain warm_s. Take history's: predictions are never served while a feature
    # has no value.
    pairs = pair(history, used).with_columns(pl.col("warm_s").alias("warm_s" + GOT))
    result.diffs.add(explained(lake, level, pairs, columns, symbols) if len(pairs) else [])
