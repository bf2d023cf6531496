"""SQL on a real lakehouse: the rows of the right snapshot, bounded memory, strictly read-only."""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, IntegerType, NestedField, StringType, TimestamptzType

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse import tables
from lakehouse.query import open_session
from lakehouse.schemas import COLUMNS_OF, POWER, PROPERTIES, SILVER, TICK_NAMES
from lakehouse.tables import Lakehouse
from streaming.feeds import tick_frame

DAY_US = 86_400_000_000
START_US = 19_800 * DAY_US  # 2024-03-18


def ticks(day: int, count: int = 10, first: int = 0) -> pl.DataFrame:
    number = pl.int_range(first, first + count, eager=True)
    columns = {
        "event_time_us": START_US + day * DAY_US + number,
        "ingest_time_us": START_US,
        "seq": number,
    }
    frame = pl.DataFrame({"trade_id": number.cast(pl.String), "price": 1.5 + number, **columns})
    return tick_frame.conform(
        frame.with_columns(
            venue=pl.lit("V"), symbol=pl.lit(f"S{day}"), size=pl.lit(1.0), side=pl.lit(1)
        )
    )


def three_days(home: Path) -> Settings:
    """Three days of ten ticks, the first of them twice."""
    settings = Settings(home=home)
    Lakehouse(settings).create()
    for day in (0, 1, 2, 0):
        Lakehouse(settings).append_ticks(ticks(day))
    return settings


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """For tests that only read; they show that nothing is changed."""
    return three_days(tmp_path_factory.mktemp("lake"))


def ask(lake: Settings, sql: str, as_of: int | None = None) -> list[tuple]:
    with open_session(Lakehouse(lake), sql, as_of) as session:
        return pl.DataFrame(pl.from_arrow(session.execute(sql).read_all())).rows()


def files(lake: Settings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in lake.warehouse.rglob("*") if path.is_file()}


def test_counts_sums_and_conditions_are_those_of_the_table(lake):
    assert ask(
        lake, "SELECT count(*), sum(price), min(event_time)::VARCHAR FROM silver.tick_data"
    ) == [(40, 240.0, "2024-03-18 00:00:00+00")]
    assert ask(lake, "FROM silver.tick_data SELECT symbol, count(*) n GROUP BY 1 ORDER BY 1") == [
        ("S0", 20),
        ("S1", 10),
        ("S2", 10),
    ]
    day = (
        "SELECT count(*) FROM silver.tick_data WHERE event_time >= '2024-03-19' AND event_time <"
        " '2024-03-20'"
    )
    assert ask(lake, day) == [(10,)]


def test_every_column_of_every_row_comes_back_as_it_was_written(lake):
    with open_session(Lakehouse(lake), "silver.tick_data") as session:
        result = pl.DataFrame(pl.from_arrow(session.execute("FROM silver.tick_data").read_all()))
    stored = pl.DataFrame(pl.from_arrow(Lakehouse(lake).table(SILVER).scan().to_arrow()))
    assert result.columns == list(TICK_NAMES)
    order = ["symbol", "seq", "price"]
    assert result.sort(order).cast(stored.schema).equals(stored.sort(order))


def test_the_view_ticks_holds_each_trade_once_like_every_reader(lake):
    assert ask(lake, "SELECT count(*) FROM silver.ticks") == [(30,)]
    read = Lakehouse(lake).read_ticks(START_US, START_US + 3 * DAY_US)
    result = ask(lake, "SELECT symbol, seq, price FROM ticks ORDER BY event_time_us, seq")
    assert result == read.select("symbol", "seq", "price").rows()


def test_all_tables_are_there_and_describe_themselves(lake):
    shown = {
        f"{schema}.{name}"
        for schema, name in ask(lake, "SELECT schema, name FROM (SHOW ALL TABLES)")
    }
    assert shown == {*COLUMNS_OF, "silver.ticks"}
    assert [row[0] for row in ask(lake, "DESCRIBE silver.tick_data")] == list(TICK_NAMES)
    assert (
        dict(row[:2] for row in ask(lake, "DESCRIBE silver.power_consumption"))["event_time"]
        == "TIMESTAMP WITH TIME ZONE"
    )
    assert ask(lake, "SELECT count(*) FROM gold.tick_features") == [(0,)]
    assert ask(lake, "SUMMARIZE silver.tick_data")[0][0] == "venue"


def test_an_older_snapshot_is_read_as_it_was(lake):
    first, *_, last = Lakehouse(lake).table(SILVER).snapshots()
    count = "SELECT count(*) FROM silver.ticks"
    assert ask(lake, count, first.snapshot_id) == [(10,)]
    assert ask(lake, count, last.snapshot_id) == ask(lake, count) == [(30,)]
    with pytest.raises(DatasetError, match="no table has a snapshot 7"):
        ask(lake, count, 7)


def test_files_of_an_older_schema_are_read_with_null_and_wider(tmp_path):
    settings = Settings(home=tmp_path)
    Lakehouse(settings).catalog.create_namespace("silver")
    old = [
        ("event_time", TimestamptzType()),
        ("series", StringType()),
        ("known_at_us", IntegerType()),
        ("value_kw", DoubleType()),
    ]
    schema = Schema(
        *(NestedField(i, name, kind, required=False) for i, (name, kind) in enumerate(old, 1))
    )
    table = Lakehouse(settings).catalog.create_table(
        POWER, schema, partition_spec=PartitionSpec(), properties=dict(PROPERTIES)
    )
    row = {
        "event_time": pa.array([START_US], pa.timestamp("us", "UTC")),
        "series": ["z"],
        "value_kw": [0.5],
    }
    with tables.ignore_row_group_warning():
        table.append(pa.table(row | {"known_at_us": pa.array([7], pa.int32())}))
        Lakehouse(settings).create()
        Lakehouse(settings).table(POWER).append(
            pa.table(row | {"known_at_us": [2**40], "source": ["s"]})
        )
    result = "SELECT value_kw, source, known_at_us FROM silver.power_consumption ORDER BY 3"
    assert ask(settings, result) == [(0.5, None, 7), (0.5, "s", 2**40)]
    assert ask(
        settings, "SELECT count(*) FROM silver.power_consumption WHERE known_at_us > 100"
    ) == [(1,)]
    assert ask(
        settings,
        "SELECT count(*) FROM silver.power_consumption WHERE source IS NULL AND event_time IS NOT"
        " NULL",
    ) == [(1,)]


def test_files_of_other_days_are_not_even_opened(tmp_path):
    lake = three_days(tmp_path)
    tasks = (
        Lakehouse(lake)
        .table(SILVER)
        .scan(row_filter=tables.between(START_US, START_US + DAY_US))
        .plan_files()
    )
    for task in tasks:
        Path(task.file.file_path.removeprefix("file://")).unlink()
    assert ask(lake, "SELECT count(*) FROM silver.tick_data WHERE event_time >= '2024-03-19'") == [
        (20,)
    ]
    with pytest.raises(DatasetError, match="refused"):
        ask(lake, "SELECT sum(price) FROM silver.tick_data")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO silver.tick_data VALUES (1)",
        "DELETE FROM silver.tick_data",
        "DROP VIEW silver.ticks",
        "CREATE TABLE mine AS SELECT 1",
        "COPY silver.tick_data TO '{out}'",
        "ATTACH '{out}'",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '1TB'",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "USE memory.main",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW silver.ticks",
        "",
        "-- nothing",
    ],
)
def test_anything_but_one_question_is_refused(lake, tmp_path, sql):
    before = files(lake)
    with pytest.raises(DatasetError, match="is not allowed|one statement"):
        ask(lake, sql.format(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert files(lake) == before


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (COPY (SELECT 1) TO '{out}') FROM a",  # a SELECT to the parser of DuckDB 2
        "WITH a AS (COPY (SELECT 1) TO '{data}') FROM a",
        "WITH a AS (INSERT INTO silver.tick_data (venue) VALUES ('x') RETURNING *) FROM a",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_parquet('{data}')",
        "SELECT * FROM '{data}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM settings",  # no variable of this program either
    ],
)
def test_a_question_reaches_no_file_and_no_variable(lake, tmp_path, sql):
    before = files(lake)
    data = next(path for path in before if path.suffix == ".parquet")
    with pytest.raises(DatasetError, match="refused"):
        ask(lake, sql.format(out=tmp_path / "out", data=data))
    assert not (tmp_path / "out").exists()
    assert files(lake) == before


def test_the_lock_cannot_be_opened_from_inside(lake):
    with open_session(Lakehouse(lake), "") as session:
        for name in ("enable_external_access", "allowed_directories", "python_enable_replacements"):
            with pytest.raises(duckdb.Error, match="locked"):
                session._connection.execute(f"SET {name} = true")


def test_what_does_not_fit_into_memory_is_spilled(lake):
    small = lake.model_copy(update={"sql_memory_mb": 256})
    wide = "SELECT i, hash(i) h, i::VARCHAR || repeat('x', 60) t FROM range(2000000) r(i)"
    assert ask(small, f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({wide}))") == [(2_000_000,)]
    assert not list(Path("/tmp").glob("tick-sql-*/duckdb_temp_storage*"))


def test_delete_files_are_not_silently_ignored(lake, monkeypatch):
    from pyiceberg.table import FileScanTask

    original = (
        FileScanTask.__init__
    )  # PyIceberg cannot write delete files, and our Flink jobs write none
    monkeypatch.setattr(
        FileScanTask,
        "__init__",
        lambda task, file, **rest: original(task, file, **rest | {"delete_files": {file}}),
    )
    with pytest.raises(DatasetError, match="delete files"):
        ask(lake, "FROM silver.tick_data")


@pytest.mark.parametrize(
    ("sql", "message"),
    [("SELECT nope FROM silver.ticks", "nope"), ("SELEC 1", "syntax"), ("FROM nowhere", "nowhere")],
)
def test_a_mistake_is_explained(lake, sql, message):
    with pytest.raises(DatasetError, match=message):
        ask(lake, sql)
