"""Read-only SQL on the lakehouse: DuckDB over the data files of Iceberg snapshots.

DuckDB gets the tables as Arrow datasets (columns and simple filters are pushed down into the
Parquet files) and no file access: in DuckDB 2 even a SELECT may contain `WITH x AS (COPY … TO
'file')`, and any file it may read it may also overwrite.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import PyArrowFileIO, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table
from pyiceberg.types import TimestamptzType

from contracts.errors import DatasetError
from lakehouse.schemas import COLUMNS_OF, SILVER, TIME_OF
from lakehouse.tables import Lakehouse

TICKS = "silver.ticks"  # deduplicated ticks: one row per trade id
FIRST_COPY = (
    "row_number() OVER (PARTITION BY venue, symbol, trade_id ORDER BY event_time_us, seq) = 1"
)
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
            return _convert_errors(self._connection.sql(sql).to_arrow_reader(BATCH_ROWS))
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


def _convert_errors(result: pa.RecordBatchReader) -> pa.RecordBatchReader:
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
    if as_of is not None:
        _require_snapshot(stored.values(), as_of)
    with (
        tempfile.TemporaryDirectory(prefix="tick-sql-") as spill,
        _connect(lake, spill) as connection,
    ):
        for name, table in stored.items():
            rows = _rows(table, name, as_of) if _is_named(name, sql) else _no_rows(table)
            _create_view(connection, name, rows)
        connection.execute(f"CREATE VIEW {TICKS} AS FROM {SILVER} QUALIFY {FIRST_COPY}")
        for name, value in LOCKED.items():
            connection.execute(f"SET {name} = {value}")
        yield Session(connection)


def _require_snapshot(stored: Iterable[Table], snapshot_id: int) -> None:
    if not any(table.snapshot_by_id(snapshot_id) for table in stored):
        raise DatasetError(
            f"no table has a snapshot {snapshot_id}",
            "`tick lake snapshots TABLE` lists them; expired ones cannot be read",
        )


def _is_named(table: str, sql: str) -> bool:
    """Whether the statement may read the table: it contains the name, or that of a view on it."""
    names = (table, TICKS) if table == SILVER else (table,)
    return any(name.partition(".")[2] in sql.lower() for name in names)


@contextmanager
def _connect(lake: Lakehouse, spill: str) -> Iterator[duckdb.DuckDBPyConnection]:
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


def _create_view(
    connection: duckdb.DuckDBPyConnection, name: str, rows: ds.Dataset | pa.Table
) -> None:
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
    has_snapshot = as_of is not None and table.snapshot_by_id(as_of) is not None
    tasks = list(table.scan(snapshot_id=as_of if has_snapshot else None).plan_files())
    _require_no_deletes(name, tasks)
    return _dataset(table, TIME_OF.get(name, "event_time"), tasks) if tasks else _no_rows(table)


def _require_no_deletes(name: str, tasks: Sequence[FileScanTask]) -> None:
    if any(task.delete_files for task in tasks):
        raise DatasetError(
            f"{name} has delete files, which only Iceberg's own readers understand",
            "read it with PyIceberg, or rewrite it with `tick lake compact`",
        )


def _no_rows(table: Table) -> pa.Table:
    return _schema(table).empty_table()


def _dataset(table: Table, time: str, tasks: Sequence[FileScanTask]) -> ds.Dataset:
    """The files as one dataset; `time` is the column whose range is known for each."""
    files, parquet = table.io, ds.ParquetFileFormat()
    assert isinstance(files, PyArrowFileIO)
    fragments = []
    for task in tasks:
        scheme, netloc, path = files.parse_location(task.file.file_path, files.properties)
        source = files.fs_by_scheme(scheme, netloc)
        fragments.append(parquet.make_fragment(path, source, _bounds(table, task.file, time)))
    return ds.FileSystemDataset(fragments, _schema(table), parquet, fragments[0].filesystem)


def _bounds(table: Table, file: DataFile, column: str) -> ds.Expression:
    """The file's time range from Iceberg's statistics, so that DuckDB skips files of other days."""
    field_id = table.schema().find_field(column).field_id
    nulls, low, high = (
        _find_statistic(values, field_id)
        for values in (file.null_value_counts, file.lower_bounds, file.upper_bounds)
    )
    if nulls != 0 or None in (low, high):
        return ds.scalar(True)
    first, last = (
        pa.scalar(from_bytes(TimestamptzType(), bound), pa.timestamp("us", "UTC"))
        for bound in (low, high)
    )
    return (ds.field(column) >= first) & (ds.field(column) <= last)


def _find_statistic(values: Mapping[int, Any] | None, field_id: int) -> Any:
    """The field's statistic; None where the writer left it, or all of them, out."""
    return (values or {}).get(field_id)
