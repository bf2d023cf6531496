"""Read-only SQL on the lakehouse: DuckDB over the data files of Iceberg snapshots.

DuckDB gets the tables as Arrow datasets (columns and simple filters are pushed down into the
Parquet files) and no file access: in DuckDB 2 even a SELECT may contain `WITH x AS (COPY … TO
'file')`, and any file it may read it may also overwrite.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import TimestamptzType

from contracts.errors import DatasetError
from lakehouse.schemas import COLUMNS_OF, SILVER, TIME_OF
from lakehouse.tables import Lakehouse

TICKS = "silver.ticks"  # deduplicated ticks: one row per trade id
BATCH_ROWS = 50_000
READ_STATEMENTS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
ALLOWED = (
    "`tick sql` is read-only: use SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"
)
LOCKED = {
    "search_path": "'silver,gold'",
    "TimeZone": "'UTC'",
    "python_enable_replacements": "false",  # else a name in SQL may refer to a Python variable
    "enable_external_access": "false",
    "lock_configuration": "true",
}


class Session:
    """A connection on which the lakehouse tables are views; open one with `open_session()`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def execute(self, sql: str) -> pa.RecordBatchReader:
        """The result of one statement, batch by batch.

        Raises DatasetError for other statements and for DuckDB's errors.
        """
        try:
            _require_read_only(sql)
            return _guarded(self._connection.sql(sql).to_arrow_reader(BATCH_ROWS))
        except duckdb.Error as error:
            raise _dataset_error(error) from error


def _require_read_only(sql: str) -> None:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1:
        raise DatasetError(
            f"expected one statement, got {len(statements)}", "remove the text after the semicolon"
        )
    if statements[0].type not in READ_STATEMENTS:
        raise DatasetError(f"{statements[0].type.name} is not allowed", ALLOWED)


def _guarded(result: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same batches; an error between two of them becomes a DatasetError too."""

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from result
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            raise _dataset_error(error) from error

    return pa.RecordBatchReader.from_batches(result.schema, batches())


def _dataset_error(error: Exception) -> DatasetError:
    hint = (
        ALLOWED
        if isinstance(error, duckdb.PermissionException)
        else "list the tables with SHOW ALL TABLES, columns with DESCRIBE silver.tick_data"
    )
    return DatasetError(f"DuckDB refused: {error}", hint)


@contextmanager
def open_session(lake: Lakehouse, sql: str, as_of: int | None = None) -> Iterator[Session]:
    """A session for this statement: tables that it names have rows, all others are empty.

    `as_of` is a snapshot id: its table is read as it was then. Raises DatasetError when no table
    has such a snapshot.
    """
    lake.create()
    stored = {name: lake.table(name) for name in COLUMNS_OF}
    if as_of is not None and not any(table.snapshot_by_id(as_of) for table in stored.values()):
        raise DatasetError(
            f"no table has a snapshot {as_of}",
            "`tick lake snapshots TABLE` lists them; expired ones cannot be read",
        )
    statement = sql.lower()
    with (
        tempfile.TemporaryDirectory(prefix="tick-sql-") as spill,
        _connected(lake, spill) as connection,
    ):
        for name, table in stored.items():
            used = name.split(".")[1] in statement or (
                name == SILVER and TICKS.split(".")[1] in statement
            )
            rows = _rows(table, name, as_of) if used else _schema(table).empty_table()
            _view(connection, name, rows)
        first = (
            "row_number() OVER (PARTITION BY venue, symbol, trade_id ORDER BY event_time_us,"
            " seq) = 1"
        )
        connection.execute(f"CREATE VIEW {TICKS} AS FROM {SILVER} QUALIFY {first}")
        for name, value in LOCKED.items():
            connection.execute(f"SET {name} = {value}")
        yield Session(connection)


@contextmanager
def _connected(lake: Lakehouse, spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that neither installs nor loads extensions and spills to `spill`."""
    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "memory_limit": f"{lake.settings.sql_memory_mb}MB",
        "temp_directory": spill,
    }
    with duckdb.connect(":memory:", config=config) as connection:
        yield connection


def _view(connection: duckdb.DuckDBPyConnection, name: str, rows: ds.Dataset | pa.Table) -> None:
    schema, _, view = name.partition(".")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    connection.execute(f"USE {schema}")
    connection.from_arrow(rows).create_view(view)


def _schema(table: Table) -> pa.Schema:
    return schema_to_pyarrow(table.schema(), include_field_ids=False)


def _rows(table: Table, name: str, as_of: int | None) -> ds.Dataset | pa.Table:
    """The data files of one snapshot with today's columns: missing ones null, narrower ones
    widened.
    """
    snapshot = as_of if as_of is not None and table.snapshot_by_id(as_of) else None
    tasks = list(table.scan(snapshot_id=snapshot).plan_files())
    if any(task.delete_files for task in tasks):
        raise DatasetError(
            f"{name} has delete files, which only Iceberg's own readers understand",
            "read it with PyIceberg, or rewrite it with `tick lake compact`",
        )
    if not tasks:
        return _schema(table).empty_table()
    files, parquet = table.io, ds.ParquetFileFormat()
    assert isinstance(files, PyArrowFileIO)
    fragments = []
    for task in tasks:
        scheme, netloc, path = files.parse_location(task.file.file_path, files.properties)
        source = files.fs_by_scheme(scheme, netloc)
        fragments.append(
            parquet.make_fragment(
                path, source, _bounds(table, task.file, TIME_OF.get(name, "event_time"))
            )
        )
    return ds.FileSystemDataset(fragments, _schema(table), parquet, fragments[0].filesystem)


def _bounds(table: Table, file: DataFile, column: str) -> ds.Expression:
    """The file's time range from Iceberg's statistics, so that DuckDB skips files of other days."""
    field = table.schema().find_field(column)
    nulls, low, high = (
        (values or {}).get(field.field_id)
        for values in (file.null_value_counts, file.lower_bounds, file.upper_bounds)
    )
    if nulls != 0 or not isinstance(low, bytes) or not isinstance(high, bytes):
        return ds.scalar(True)
    first, last = (
        pa.scalar(from_bytes(TimestamptzType(), bound), pa.timestamp("us", "UTC"))
        for bound in (low, high)
    )
    return (ds.field(column) >= first) & (ds.field(column) <= last)
