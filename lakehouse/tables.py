"""`Lakehouse`: the tables of the Iceberg catalog that Flink and PyIceberg share, read and written
with polars.
"""

import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import ResolveError, RESTError, ValidationError
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    EqualTo,
    GreaterThanOrEqual,
    In,
    LessThan,
    NotEqualTo,
)
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import IcebergType
from sqlalchemy.exc import OperationalError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.errors import DatasetError
from contracts.tick import TRADE_KEY
from lakehouse import catalog_options
from lakehouse.commits import retry_commit
from lakehouse.read_limit import require_rows
from lakehouse.schemas import (
    COLUMNS_OF,
    GOLD,
    SILVER,
    TICK_NAMES,
    partitions,
    properties,
    schema,
)

CATALOG = "lakehouse"
TICK_ORDER = ("event_time_us", "seq", "late")
SYMBOL_KEY = pl.concat_str("venue", pl.lit(":"), "symbol").alias("key")  # VENUE:SYMBOL


@dataclass(frozen=True, slots=True)
class TickCount:
    """Counts of silver rows.

    `distinct` trades, `late` those of which no copy came in time, and the symbols (VENUE:SYMBOL).
    """

    rows: int
    distinct: int
    late: int
    symbols: list[str]


@dataclass(frozen=True, slots=True)
class Lakehouse:
    """The tables of the catalog that the settings name.

    The catalog is opened on first use and shared by all objects with the same settings.
    """

    settings: LakehouseSettings

    @property
    def catalog(self) -> Catalog:
        """The catalog. Raises DatasetError when a REST catalog does not answer.

        The embedded catalog gets its folder and write-ahead log on first use.
        """
        if self.settings.catalog_uri is None:
            _prepare(self.settings.catalog_file)
        options = catalog_options.reveal(catalog_options.render(self.settings).pyiceberg)
        return _open(tuple(options.items()))

    def table(self, name: str) -> Table:
        """A table in its current state."""
        return self.catalog.load_table(name)

    def create(self) -> None:
        """Create missing namespaces and tables, add columns that the contracts gained, apply
        changed properties.

        Idempotent.
        """
        store = self.catalog
        for table in COLUMNS_OF:
            store.create_namespace_if_not_exists(table.split(".")[0])
            # Without this check every call would leave a metadata file behind.
            if not store.table_exists(table):
                store.create_table_if_not_exists(
                    table,
                    schema(table),
                    partition_spec=partitions(table),
                    properties=properties(self.settings),
                )
            stored = store.load_table(table)
            _evolve(stored, table)
            _apply_properties(stored, properties(self.settings))

    def flink_catalog(self) -> str:
        """The DDL with which Flink opens the same catalog. It may contain secrets: never log it."""
        return catalog_options.create_statement(
            CATALOG, catalog_options.reveal(catalog_options.render(self.settings).flink)
        )

    def append_ticks(self, ticks: pl.DataFrame) -> int:
        """Append ticks (columns of `contracts.tick.Tick`) to silver in one commit.

        Returns how many.
        """
        table = self.table(SILVER)
        append(table, silver_rows(ticks, table.schema()))
        return len(ticks)

    def read_ticks(
        self,
        from_us: int,
        to_us: int,
        symbols: Sequence[str] | None = None,
        snapshot: int | None = None,
        names: Sequence[str] = TICK_NAMES,
    ) -> pl.DataFrame:
        """Distinct ticks with event time in [from, to) µs, sorted by event time and seq.

        Adds `key` = VENUE:SYMBOL. Of several duplicates, one that was in time wins over a late one:
        then the tick was not late. `snapshot` pins the read to that state of the table. `names`
        are the columns that are read, besides those that identify and order the ticks. Raises
        DatasetError when the snapshot has expired, or the range has more than `read_rows_max` rows.
        """
        row_filter: BooleanExpression = between(from_us, to_us)
        if symbols is not None:
            parts = sorted({symbol.partition(":")[2] for symbol in symbols})
            row_filter = And(row_filter, In("symbol", parts))
        used = {*TRADE_KEY, *TICK_ORDER, *names}
        fields = tuple(name for name in TICK_NAMES if name in used and name != "event_time")
        frame = self._read(SILVER, row_filter, fields, snapshot)
        ticks = frame.with_columns(SYMBOL_KEY)
        if symbols is not None:
            ticks = ticks.filter(pl.col("key").is_in(list(symbols)))
        return ticks.sort(*TICK_ORDER).unique(TRADE_KEY, keep="first", maintain_order=True)

    def count_ticks(self, from_us: int, to_us: int, without_venue: str | None = None) -> TickCount:
        """Count silver rows with event time in [from, to) µs, optionally without one venue."""
        row_filter = between(from_us, to_us)
        if without_venue:
            row_filter = And(row_filter, NotEqualTo("venue", without_venue))
        frame = self._read(SILVER, row_filter, (*TRADE_KEY, "late"))
        keys = frame.select(SYMBOL_KEY)["key"].unique().sort().to_list()
        late = frame.group_by(TRADE_KEY).agg(pl.col("late").all())["late"]
        return TickCount(len(frame), len(late), int(late.sum()), keys)

    def read_features(
        self,
        view: str,
        from_us: int,
        to_us: int,
        symbols: Sequence[str] | None = None,
        table: str = GOLD,
        snapshot: int | None = None,
        names: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Feature rows of one view with row end in [from, to) µs, sorted by time and symbol.

        Columns: symbol, event_time_us, known_at_us, warm_s and the columns of the view, or `names`
        of them. `snapshot` as in `read_ticks`; columns added since then are null. Raises
        DatasetError as `read_ticks` does.
        """
        from contracts.features import COLUMNS

        features = [column.name for column in COLUMNS if column.view == view]
        if names is not None:
            features = [name for name in features if name in set(names)]
        row_filter: BooleanExpression = And(between(from_us, to_us), EqualTo("view", view))
        if symbols is not None:
            row_filter = And(row_filter, In("symbol", list(symbols)))
        fields = ("symbol", "event_time", "known_at_us", "warm_s", *features)
        frame = self._read(table, row_filter, fields, snapshot)
        return (
            frame.with_columns(event_time_us=pl.col("event_time").dt.epoch("us"))
            .drop("event_time")
            .sort("event_time_us", "symbol")
        )

    def snapshot_ids(self) -> dict[str, int | None]:
        """Current snapshot of each table, None while it is empty."""
        store = self.catalog
        return {name: store.load_table(name).metadata.current_snapshot_id for name in COLUMNS_OF}

    def time_range(self) -> tuple[int, int]:
        """First and last event time (µs) in silver, from file statistics alone.

        Raises DatasetError when silver is empty.
        """
        silver_files = files(self.table(SILVER), ["readable_metrics"])
        bounds = [f["readable_metrics"]["event_time_us"] for f in silver_files]
        if not bounds:
            raise DatasetError(
                "the lakehouse holds no ticks",
                "load files (`tick load`), make history (`tick history`), or `tick replay` a feed",
            )
        return min(b["lower_bound"] for b in bounds), max(b["upper_bound"] for b in bounds)

    def _read(
        self,
        table: str,
        row_filter: BooleanExpression,
        fields: tuple[str, ...],
        snapshot: int | None = None,
    ) -> pl.DataFrame:
        stored = self.table(table)
        if snapshot is not None:
            _require_snapshot(stored, table, snapshot)
        scan = stored.scan(row_filter=row_filter, snapshot_id=snapshot)
        require_rows(scan, table, self.settings.read_rows_max)
        # The schema of that snapshot may be older than the current one.
        added = set(fields).difference(scan.projection().column_names)
        frame = pl.from_arrow(
            scan.select(*(name for name in fields if name not in added)).to_arrow()
        )
        assert isinstance(frame, pl.DataFrame)
        nulls = {name: pl.lit(None, dtype=pl.Float64) for name in added}
        return frame.with_columns(**nulls).select(fields)


def _require_snapshot(stored: Table, name: str, snapshot_id: int) -> None:
    if stored.snapshot_by_id(snapshot_id) is None:
        raise DatasetError(
            f"{name} has no snapshot {snapshot_id} any more",
            "it has expired and cannot be read again; keep snapshots longer with `tick lake"
            " expire --hours`",
        )


@lru_cache(maxsize=4)
def _open(options: tuple[tuple[str, str], ...]) -> Catalog:
    """Open a catalog with these options alone.

    `load_catalog` would mix in the user's PyIceberg configuration.
    """
    named = dict(options)
    if named["uri"].startswith("sqlite:"):
        return _open_embedded(named)
    from pyiceberg.catalog.rest import RestCatalog

    try:
        return RestCatalog(CATALOG, **named)
    except (OSError, RESTError, ValueError) as error:
        raise DatasetError(
            f"the REST catalog at {named['uri']} does not answer: {type(error).__name__}",
            "start it, or correct TICK_CATALOG_URI",
        ) from error


@retry(
    retry=retry_if_exception_type(OperationalError),  # two processes create its tables at once
    stop=stop_after_attempt(3),
    wait=wait_random(0.01, 0.1),
    reraise=True,
)
def _open_embedded(options: Mapping[str, str]) -> Catalog:
    return SqlCatalog(CATALOG, **options)


def _prepare(file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()


def _evolve(table: Table, name: str) -> None:
    """Add columns that the contract gained and widen those whose type it widened.

    Raises DatasetError where stored data cannot follow.
    """
    stored = {field.name: field.field_type for field in table.schema().fields}
    changed = [(column, kind) for column, kind in COLUMNS_OF[name] if stored.get(column) != kind]
    if changed:
        _change_columns(table, name, stored, changed)


@retry_commit
def _apply_properties(table: Table, wanted: Mapping[str, str]) -> None:
    """Set the properties that differ from `wanted`; other properties of the table stay."""
    table.refresh()
    changed = {key: value for key, value in wanted.items() if table.properties.get(key) != value}
    changed.pop("format-version", None)  # Iceberg consumes it when it creates the table
    if changed:
        with table.transaction() as transaction:
            transaction.set_properties(changed)


def _change_columns(
    table: Table,
    name: str,
    stored: Mapping[str, IcebergType],
    changed: Sequence[tuple[str, IcebergType]],
) -> None:
    try:
        with table.update_schema() as update:
            for column, kind in changed:
                change = update.update_column if column in stored else update.add_column
                change(column, kind)
    except (ValidationError, ResolveError) as error:
        present = (
            f"{column} is {stored[column]}, not {kind}"
            for column, kind in changed
            if column in stored
        )
        raise DatasetError(
            f"{name} cannot evolve to the contract's schema: {', '.join(present)}",
            "only int → long and float → double keep the stored values; give the new column"
            " another name",
        ) from error


# For live rows, which all belong to the current day: each task writes the rows it has. By default
# Iceberg shuffles each row to the one writer of its partition and formats the day as text for every
# row, which costs an eighth of the live job's CPU.
NO_SHUFFLE = "/*+ OPTIONS('distribution-mode'='none') */ "


def insert(table: str, names: Sequence[str], select: str, hint: str = "") -> str:
    """The Flink statement that appends the rows of `select`, columns in the order of `names`."""
    return f"INSERT INTO {CATALOG}.{table} {hint}({quote_names(names)}) {select}"


def quote_names(names: Sequence[str]) -> str:
    """Column names as a list in SQL."""
    return ", ".join(f"`{name}`" for name in names)


def silver_rows(ticks: pl.DataFrame, stored: Schema) -> pa.Table:
    """Ticks that are not late, as rows of silver in its stored schema."""
    rows = ticks.with_columns(
        event_time=pl.from_epoch("event_time_us", time_unit="us").dt.replace_time_zone("UTC"),
        late=pl.lit(value=False),
    )
    return (
        rows.select(TICK_NAMES).to_arrow().cast(schema_to_pyarrow(stored, include_field_ids=False))
    )


@retry_commit
def append(table: Table, arrow: pa.Table) -> None:
    """Append rows in one commit; retried when others commit to the same table."""
    table.refresh()
    with ignore_row_group_warning():
        table.append(arrow)


@contextmanager
def ignore_row_group_warning() -> Iterator[None]:
    """Suppress PyIceberg's warning, at every write, about the row group size meant for Flink's
    writer.
    """
    with warnings.catch_warnings():
        warning = (
            r"Parquet writer option\(s\) \['write\.parquet\.row-group-size-bytes'\] not implemented"
        )
        warnings.filterwarnings("ignore", message=warning, category=UserWarning)
        yield


def files(table: Table, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The given columns of `inspect.files()`: one row per file of the current snapshot."""
    return table.inspect.files().select(columns).to_pylist() if has_manifest(table) else []


def has_manifest(table: Table) -> bool:
    """Whether the current snapshot lists a manifest.

    A new table has no snapshot, and Flink also commits empty ones. PyIceberg's `inspect` fails on
    both ("Must pass at least one table", "Cannot get a snapshot").
    """
    snapshot = table.current_snapshot()
    return snapshot is not None and bool(snapshot.manifests(table.io))


def between(from_us: int, to_us: int, column: str = "event_time") -> BooleanExpression:
    """Times of `column` in [from, to) µs."""
    return And(GreaterThanOrEqual(column, _iso(from_us)), LessThan(column, _iso(to_us)))


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="microseconds")
