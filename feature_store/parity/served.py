"""What /predict served against the batch layer: the features of each record against history's rows
of the times the record names.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, LessThan

from contracts.config.settings import Settings
from contracts.features import COLUMNS
from contracts.windows import LEVELS, Level
from feature_store.backfill.chunks import Chunk
from feature_store.parity.column_diff import GOT, KEYS, Lines, pair
from feature_store.parity.coverage import Absences
from feature_store.parity.explain import explained
from lakehouse import tables
from lakehouse.schemas import PREDICTIONS

ONLINE, REQUEST = "online", "request"
COLUMNS_OF = {
    level.view: {column.name: column for column in COLUMNS if column.view == level.view}
    for level in LEVELS
}


@dataclass
class Served:
    """Records by what became of them, rows that history lacks, and a line per column (expected:
    history; got: served).

    `given` brought their features along, `repeated` are there more than once, `malformed` are no
    records; `undone` are used rows of a time that is not backfilled yet, `missing` those that
    history should have. Whoever may write the topic may write nonsense into it: that is told, and
    no defect of the features.
    """

    records: int = 0
    given: int = 0
    repeated: int = 0
    malformed: int = 0
    compared: int = 0
    undone: int = 0
    missing: int = 0
    lines: Lines = field(default_factory=Lines)

    @property
    def unexplained(self) -> int:
        """Values that differ, and rows that history lacks."""
        return self.missing + self.lines.unexplained


@dataclass(frozen=True, slots=True)
class Record:
    """One answer from the online store: the row end used per view (µs UTC), and the features by
    name.
    """

    symbol: str
    event_times_us: dict[str, int]
    features: dict[str, float | None]


def check(
    settings: Settings,
    found: Served,
    span: Chunk,
    bounds: Chunk,
    symbols: Sequence[str] | None,
    undone: Absences,
) -> None:
    """Add to `found` the records served in `span`, with those of their rows whose end lies in
    `bounds`.
    """
    alike: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in _records(_read(settings, span), symbols, found):
        alike[tuple(sorted(record.features))].append(record)
    for names, records in alike.items():
        for level in LEVELS:
            own = [name for name in names if name in COLUMNS_OF[level.view]]
            used = _used(records, level, own, bounds)
            if own and len(used):
                _compare(settings, found, level, used, undone)


def _read(settings: Settings, span: Chunk) -> pl.DataFrame:
    first, last = (
        datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="microseconds")
        for us in (span.from_us, span.to_us)
    )
    wanted: BooleanExpression = And(
        GreaterThanOrEqual("served_at", first), LessThan("served_at", last)
    )
    frame = pl.from_arrow(
        tables.catalog(settings).load_table(PREDICTIONS).scan(row_filter=wanted).to_arrow()
    )
    assert isinstance(frame, pl.DataFrame)
    return frame


def _records(rows: pl.DataFrame, symbols: Sequence[str] | None, found: Served) -> Iterator[Record]:
    """The records to compare; all others are counted."""
    distinct = rows.unique(
        ["request_id", "symbol", "served_at_us", "event_times_us", "features"], maintain_order=True
    )
    found.repeated += len(rows) - len(distinct)
    for source, symbol, times, features in distinct.select(
        "source", "symbol", "event_times_us", "features"
    ).iter_rows():
        if symbols is not None and symbol not in symbols:
            continue
        found.records += 1
        record = _record(symbol, times, features) if source == ONLINE else None
        if source == REQUEST:
            found.given += 1
        elif record is None:
            found.malformed += 1
        else:
            found.compared += 1
            yield record


def _record(symbol: str | None, times: str | None, features: str | None) -> Record | None:
    """None where a part is missing or is not what it should be."""
    try:
        used, values = orjson.loads(times or ""), orjson.loads(features or "")
    except orjson.JSONDecodeError:
        return None
    if (
        symbol is None
        or not _numbers(used, int)
        or not _numbers(values, (int, float))
        or None in used.values()
    ):
        return None
    return Record(
        symbol,
        used,
        {name: None if value is None else float(value) for name, value in values.items()},
    )


def _numbers(made: object, kind: Any) -> bool:
    return isinstance(made, dict) and all(
        value is None or (isinstance(value, kind) and value is not True) for value in made.values()
    )


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
    settings: Settings, found: Served, level: Level, used: pl.DataFrame, undone: Absences
) -> None:
    first_us, last_us = used.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    symbols = used["symbol"].unique().sort().to_list()
    history = tables.read_features(settings, level.view, first_us, last_us + 1, symbols)
    absent = undone.inside(used.join(history, on=KEYS, how="anti")["event_time_us"])
    found.undone += int(absent.sum())
    found.missing += len(absent) - int(absent.sum())
    columns = [COLUMNS_OF[level.view][name] for name in used.columns[len(KEYS) :]]
    # what was served says nothing of its history; an answer is never given while a feature has no
    # value
    pairs = pair(history, used).with_columns(pl.col("warm_s").alias("warm_s" + GOT))
    found.lines.add(explained(settings, level, pairs, columns, symbols) if len(pairs) else [])
