"""Compares the features that /predict served with history's rows of the times in each record."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from contracts import prediction
from contracts.features import COLUMNS
from contracts.prediction import Source
from contracts.windows import LEVELS, Level
from feature_store.backfill.chunks import Chunk
from feature_store.parity.column_diff import GOT, KEYS, ColumnDiffs, pair
from feature_store.parity.coverage import CoverageGaps
from feature_store.parity.explain import explain_differences
from lakehouse.read_limit import require_rows
from lakehouse.schemas import PREDICTIONS
from lakehouse.tables import Lakehouse, between

COLUMNS_OF = {
    level.view: {column.name: column for column in COLUMNS if column.view == level.view}
    for level in LEVELS
}
# What makes a record: delivery is at-least-once, so the same one may be stored twice.
IDENTITY = ("request_id", "symbol", "served_at_us", "event_times_us", "features")


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


def compare_served(
    lake: Lakehouse,
    result: Served,
    span: Chunk,
    bounds: Chunk,
    symbols: Sequence[str] | None,
    not_backfilled: CoverageGaps,
) -> None:
    """Add to `result` the records served in `span`, with those of their rows ending in `bounds`."""
    records = _records(_read(lake, span), symbols, result)
    for names, similar in _by_features(records).items():
        for level in LEVELS:
            _compare(lake, result, level, _used(similar, level, names, bounds), not_backfilled)


def _read(lake: Lakehouse, span: Chunk) -> pl.DataFrame:
    row_filter = between(span.from_us, span.to_us, "served_at")
    fields = tuple({*IDENTITY, "symbol", "source", "event_times_us", "features"})
    scan = lake.table(PREDICTIONS).scan(row_filter=row_filter, selected_fields=fields)
    require_rows(scan, PREDICTIONS, lake.settings.read_rows_max)
    frame = pl.from_arrow(scan.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _records(rows: pl.DataFrame, symbols: Sequence[str] | None, result: Served) -> list[Record]:
    """The records to compare; the others are only counted.

    A shadow record was not served: it has the features of the served one, and often its identity.
    """
    served = rows.filter(pl.col("source").ne_missing(Source.SHADOW.value))
    distinct = served.unique(IDENTITY, maintain_order=True)
    result.repeated += len(served) - len(distinct)
    if symbols is not None:
        distinct = distinct.filter(pl.col("symbol").is_in(list(symbols)))
    given = distinct.filter(pl.col("source") == Source.REQUEST.value)
    online = distinct.filter(pl.col("source") == Source.ONLINE.value)
    stored = online.select("symbol", "event_times_us", "features").iter_rows()
    records = [record for row in stored if (record := _record(*row)) is not None]
    result.records += len(distinct)
    result.given += len(given)
    result.compared += len(records)
    result.malformed += len(distinct) - len(given) - len(records)
    return records


def _record(symbol: str | None, times: str | None, features: str | None) -> Record | None:
    """The record; None where a part is missing or has the wrong type."""
    used, values = prediction.read_event_times(times), prediction.read_features(features)
    if symbol is None or used is None or values is None:
        return None
    ends = {view: us for view, us in used.items() if us is not None}
    return Record(symbol, ends, values) if len(ends) == len(used) else None


def _by_features(records: Sequence[Record]) -> dict[tuple[str, ...], list[Record]]:
    """The records by the names of their features, which differ between models."""
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[tuple(sorted(record.features))].append(record)
    return groups


def _used(
    records: Sequence[Record], level: Level, features: Sequence[str], bounds: Chunk
) -> pl.DataFrame:
    """The rows of a view as they were served, with their end in `bounds`.

    symbol, event_time_us and those of `features` that are columns of the view.
    """
    names = [name for name in features if name in COLUMNS_OF[level.view]]
    rows = [
        (record.symbol, us, *map(record.features.get, names))
        for record in records
        # A malformed time may exceed 64 bits.
        if bounds.from_us <= (us := record.event_times_us.get(level.view, -1)) < bounds.to_us
    ]
    schema = {"symbol": pl.String(), "event_time_us": pl.Int64()}
    return pl.DataFrame(rows, schema | dict.fromkeys(names, pl.Float64()), orient="row")


def _compare(
    lake: Lakehouse, result: Served, level: Level, used: pl.DataFrame, not_backfilled: CoverageGaps
) -> None:
    """Add the rows of a view to `result`: those that history lacks, and the diffs of the others."""
    columns = [COLUMNS_OF[level.view][name] for name in used.columns[len(KEYS) :]]
    if used.is_empty() or not columns:
        return
    first_us, last_us = used.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    symbols = used["symbol"].unique().sort().to_list()
    history = lake.read_features(level.view, first_us, last_us + 1, symbols)
    absent = used.join(history, on=KEYS, how="anti")
    in_gap = not_backfilled.inside(absent["event_time_us"])
    result.undone += int(in_gap.sum())
    result.missing += int((~in_gap).sum())
    # A record does not contain warm_s. Take history's: predictions are never served while a feature
    # has no value.
    pairs = pair(history, used).with_columns(pl.col("warm_s").alias("warm_s" + GOT))
    if len(pairs):
        result.diffs.add(explain_differences(lake, level, pairs, columns, symbols))
