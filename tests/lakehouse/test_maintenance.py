"""Maintenance on real tables: compaction changes no row, expiry deletes only unneeded files."""

from pathlib import Path

import polars as pl
import pytest
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table
from tenacity import wait_none

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store.parity import stored_rows
from lakehouse import maintenance, power, tables
from lakehouse.maintenance import FLINK_CHECKPOINT, compact, expire
from lakehouse.schemas import FEATURE_NAMES, GOLD, GOLD_LIVE, POWER, SILVER
from lakehouse.tables import Lakehouse
from tests.support.parity_tables import put_nothing

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
LATER_US = 4_000_000_000_000_000  # a time at which everything written today is old
VIEWS = ("tick_1s", "tick_1m")


@pytest.fixture
def lake(tmp_path):
    """A lakehouse without rows."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    return made


def ticks(number: int, day: int = 0) -> pl.DataFrame:
    """Ten ticks; `number` makes their ids and times different."""
    return pl.DataFrame(
        {
            "venue": "V",
            "symbol": "S",
            "event_time_us": [START_US + day * DAY_US + number * 1_000_000 + i for i in range(10)],
            "ingest_time_us": START_US,
            "price": 1.5,
            "size": 2.0,
            "side": pl.Series([1] * 10, dtype=pl.Int32),
            "trade_id": [f"{number}-{day}-{i}" for i in range(10)],
            "seq": list(range(10)),
            **{
                name: pl.Series([None] * 10, dtype=pl.Float64)
                for name in ("bid", "ask", "bid_size", "ask_size")
            },
        }
    )


def append_features(lake: Settings, number: int, day: int) -> None:
    """One row per view."""
    rows = [
        {name: None for name in FEATURE_NAMES}
        | {
            "view": view,
            "symbol": "V:S",
            "event_time": START_US + day * DAY_US + number,
            "known_at_us": number,
            "warm_s": 1,
        }
        for view in VIEWS
    ]
    table = Lakehouse(lake).table(GOLD)
    times = pl.from_epoch("event_time", time_unit="us").dt.replace_time_zone("UTC")
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(times)
    with tables.ignore_row_group_warning():
        table.append(
            frame.to_arrow().cast(schema_to_pyarrow(table.schema(), include_field_ids=False))
        )


def table(lake: Settings, name: str = SILVER):
    return Lakehouse(lake).table(name)


def rows(lake: Settings, name: str = SILVER, snapshot_id: int | None = None) -> list[dict]:
    stored_rows = table(lake, name).scan(snapshot_id=snapshot_id).to_arrow().to_pylist()
    return sorted(stored_rows, key=repr)


def files(lake: Settings, name: str = SILVER) -> set[Path]:
    return {path for path in (lake.warehouse / Path(*name.split("."))).rglob("*") if path.is_file()}


def data_files(lake: Settings, name: str = SILVER) -> set[Path]:
    return {path for path in files(lake, name) if path.suffix == ".parquet"}


def silent_progress(_step: str, _done: int, _total: int) -> None: ...


def crowd(lake: Settings) -> None:
    """Three files in each of two days."""
    for number in range(3):
        for day in (0, 1):
            Lakehouse(lake).append_ticks(ticks(number, day))


def test_compacting_silver_merges_each_day_and_changes_no_row(lake):
    crowd(lake)
    Lakehouse(lake).append_ticks(ticks(0, day=2))  # one file: not crowded
    before = rows(lake)
    assert compact(Lakehouse(lake), 2, silent_progress) == 2
    assert rows(lake) == before
    assert table(lake).inspect.files().num_rows == 3
    assert compact(Lakehouse(lake), 2, silent_progress) == 0


def test_compacting_gold_merges_each_day_and_view_apart(lake):
    for number in range(3):
        for day in (0, 1):
            append_features(lake, number, day)
    before, steps = rows(lake, GOLD), []
    assert compact(Lakehouse(lake), 2, lambda *step: steps.append(step)) == 4
    assert rows(lake, GOLD) == before
    assert steps == [(GOLD, done, 4) for done in (1, 2, 3, 4)]
    merged = table(lake, GOLD).inspect.files().to_pylist()
    assert (
        sorted((file["record_count"], file["partition"]["view"]) for file in merged)
        == [(3, "tick_1m")] * 2 + [(3, "tick_1s")] * 2
    )


def test_a_commit_during_a_compaction_is_kept_and_the_compaction_repeated(lake, monkeypatch):
    crowd(lake)
    attempts, overwrite = [], Table.overwrite

    def overwrite_after_the_live_job(self, *arguments, **options):
        attempts.append(1)
        if len(attempts) == 1:
            for day in (0, 1):
                Lakehouse(lake).append_ticks(ticks(7, day))
        overwrite(self, *arguments, **options)

    monkeypatch.setattr(Table, "overwrite", overwrite_after_the_live_job)
    monkeypatch.setattr(maintenance._rewrite.retry, "wait", wait_none())
    assert compact(Lakehouse(lake), 2, silent_progress) == 2
    assert len(attempts) == 3, "the first day twice"
    assert len(rows(lake)) == 80
    assert table(lake).inspect.files().num_rows == 2


def test_expiring_deletes_the_files_of_forgotten_snapshots_and_no_row(lake):
    crowd(lake)
    compact(Lakehouse(lake), 2, silent_progress)
    before, merged = rows(lake), data_files(lake)
    gone = expire(Lakehouse(lake), LATER_US, LATER_US, None)
    assert rows(lake) == before
    assert len(merged) == 8 and len(data_files(lake)) == 2
    assert gone.files > 6 and gone.bytes > 0 and gone.snapshots == 9
    assert expire(Lakehouse(lake), LATER_US, LATER_US, None) == maintenance.Expired(0, 0, 0)


def test_a_snapshot_that_was_kept_can_still_be_read_as_it_was(lake):
    crowd(lake)
    compacted_from = table(lake).current_snapshot()
    before = rows(lake)
    compact(Lakehouse(lake), 2, silent_progress)
    Lakehouse(lake).append_ticks(ticks(9))
    expire(Lakehouse(lake), compacted_from.timestamp_ms * 1000, LATER_US, None)
    assert rows(lake, snapshot_id=compacted_from.snapshot_id) == before
    assert len(rows(lake)) == len(before) + 10
    assert table(lake).snapshots()[0].snapshot_id == compacted_from.snapshot_id


def test_files_that_someone_may_commit_yet_stay(lake):
    Lakehouse(lake).append_ticks(ticks(0))
    staged = next(iter(data_files(lake))).with_name("staged.parquet")
    staged.write_bytes(b"written, not committed")
    written_us = staged.stat().st_mtime_ns // 1000
    expire(Lakehouse(lake), written_us + DAY_US, written_us + 3_600_000_000, None)
    assert staged.exists()  # an hour old
    expire(Lakehouse(lake), LATER_US, LATER_US, written_us + 1)
    assert staged.exists()  # belongs to the state of a job that may be resumed
    expire(Lakehouse(lake), written_us, LATER_US, None)
    assert staged.exists()  # newer than the requested age
    assert expire(Lakehouse(lake), LATER_US, LATER_US, written_us + DAY_US).files == 1
    assert not staged.exists()


def test_a_checksum_lives_as_long_as_its_file(lake):
    Lakehouse(lake).append_ticks(ticks(0))
    data = next(iter(data_files(lake)))
    owned, orphan = data.with_name(f".{data.name}.crc"), data.with_name(".gone.parquet.crc")
    for file in (owned, orphan):
        file.touch()
    expire(Lakehouse(lake), LATER_US, LATER_US, None)
    assert owned.exists() and not orphan.exists()


def test_nothing_is_deleted_when_the_table_lacks_a_file(lake):
    crowd(lake)
    compact(Lakehouse(lake), 2, silent_progress)
    (needed, *_) = (
        Path(task.file.file_path.removeprefix("file://"))
        for task in table(lake).scan().plan_files()
    )
    needed.rename(needed.with_suffix(".away"))
    before = files(lake)
    with pytest.raises(DatasetError, match="lacks 1 files"):
        expire(Lakehouse(lake), LATER_US, LATER_US, None)
    assert before <= files(lake)


def test_a_job_that_may_be_resumed_finds_what_it_has_committed(lake):
    """Flink looks up its last commit in the table's history; without it, it would commit twice."""
    stream = table(lake)
    arrow = stream.scan().to_arrow()
    for properties in ({FLINK_CHECKPOINT: "6"}, {FLINK_CHECKPOINT: "7"}, {}, {}):
        with tables.ignore_row_group_warning():
            stream.append(arrow, snapshot_properties=properties)
    expire(Lakehouse(lake), LATER_US, LATER_US, LATER_US)
    assert [
        s.summary.additional_properties.get(FLINK_CHECKPOINT) for s in table(lake).snapshots()
    ] == ["7", None, None]
    expire(Lakehouse(lake), LATER_US, LATER_US, None)
    assert len(table(lake).snapshots()) == 1


def test_creating_what_exists_leaves_nothing_behind(lake):
    before = {name: files(lake, name) for name in (SILVER, GOLD, GOLD_LIVE)}
    Lakehouse(lake).create()
    assert {name: files(lake, name) for name in before} == before


def test_the_summary_counts_rows_and_files(lake):
    crowd(lake)
    lines = {line.table: line for line in maintenance.summary(Lakehouse(lake))}
    assert (lines[SILVER].rows, lines[SILVER].files, lines[SILVER].snapshots) == (60, 6, 6)
    assert lines[SILVER].bytes == sum(file.stat().st_size for file in data_files(lake))
    assert lines[GOLD].rows == lines[GOLD_LIVE].rows == 0


@pytest.mark.parametrize("name", [SILVER, GOLD_LIVE])
def test_a_snapshot_without_files_counts_as_empty(lake, name):
    put_nothing(lake, name)
    put_nothing(lake, name)
    lines = {line.table: line for line in maintenance.summary(Lakehouse(lake))}
    assert lines[name] == maintenance.Summary(name, rows=0, files=0, bytes=0, snapshots=2)
    assert compact(Lakehouse(lake), 2, silent_progress) == 0
    assert expire(Lakehouse(lake), LATER_US, LATER_US, None).snapshots == 1


def test_ranges_of_tables_without_files_are_empty(lake):
    for name in (SILVER, POWER, GOLD, GOLD_LIVE):
        put_nothing(lake, name)
    with pytest.raises(DatasetError, match="holds no ticks"):
        Lakehouse(lake).time_range()
    assert power.end_us(Lakehouse(lake)) is None
    with pytest.raises(DatasetError, match="is empty"):
        stored_rows.covered_range(Lakehouse(lake), LATER_US)


def test_a_table_whose_rows_were_all_deleted_counts_as_empty(lake):
    crowd(lake)
    with tables.ignore_row_group_warning():
        table(lake).delete()
    lines = {line.table: line for line in maintenance.summary(Lakehouse(lake))}
    assert (lines[SILVER].rows, lines[SILVER].files) == (0, 0)
    assert compact(Lakehouse(lake), 2, silent_progress) == 0
    expire(Lakehouse(lake), LATER_US, LATER_US, None)
    assert rows(lake) == []
