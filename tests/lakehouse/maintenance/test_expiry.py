"""Expiry on real tables: it deletes only what no snapshot needs, and keeps what is set."""

from pathlib import Path

import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.progress import silent
from lakehouse import tables
from lakehouse.maintenance.compaction import compact
from lakehouse.maintenance.expiry import FLINK_CHECKPOINT, Expired, Retention, expire
from lakehouse.schemas import GOLD, SILVER
from lakehouse.snapshots import pin
from lakehouse.tables import Lakehouse
from tests.support.parity_tables import put_nothing
from tests.support.small_files import (
    DAY_US,
    LATER_US,
    RULE,
    crowd,
    data_files,
    files,
    rows,
    table,
    ticks,
)


@pytest.fixture
def lake(tmp_path):
    """A lakehouse without rows."""
    made = Settings(home=tmp_path)
    Lakehouse(made).create()
    return made


def test_expiring_deletes_the_files_of_forgotten_snapshots_and_no_row(lake):
    crowd(lake)
    compact(Lakehouse(lake), RULE, silent)
    before, merged = rows(lake), data_files(lake)
    gone = expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None)
    assert rows(lake) == before
    assert len(merged) == 8 and len(data_files(lake)) == 2
    assert gone.files > 6 and gone.bytes > 0 and gone.snapshots == 7
    assert expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None) == Expired(0, 0, 0)


def test_a_snapshot_that_was_kept_can_still_be_read_as_it_was(lake):
    crowd(lake)
    compacted_from = table(lake).current_snapshot()
    before = rows(lake)
    compact(Lakehouse(lake), RULE, silent)
    Lakehouse(lake).append_ticks(ticks(9))
    expire(Lakehouse(lake), Retention(compacted_from.timestamp_ms * 1000), LATER_US, None)
    assert rows(lake, snapshot_id=compacted_from.snapshot_id) == before
    assert len(rows(lake)) == len(before) + 10
    assert table(lake).snapshots()[0].snapshot_id == compacted_from.snapshot_id


def test_files_that_someone_may_commit_yet_stay(lake):
    Lakehouse(lake).append_ticks(ticks(0))
    staged = next(iter(data_files(lake))).with_name("staged.parquet")
    staged.write_bytes(b"written, not committed")
    written_us = staged.stat().st_mtime_ns // 1000
    expire(Lakehouse(lake), Retention(written_us + DAY_US), written_us + 3_600_000_000, None)
    assert staged.exists()  # an hour old
    expire(Lakehouse(lake), Retention(LATER_US), LATER_US, written_us + 1)
    assert staged.exists()  # belongs to the state of a job that may be resumed
    expire(Lakehouse(lake), Retention(written_us), LATER_US, None)
    assert staged.exists()  # newer than the requested age
    assert expire(Lakehouse(lake), Retention(LATER_US), LATER_US, written_us + DAY_US).files == 1
    assert not staged.exists()


def test_a_checksum_lives_as_long_as_its_file(lake):
    Lakehouse(lake).append_ticks(ticks(0))
    data = next(iter(data_files(lake)))
    owned, orphan = data.with_name(f".{data.name}.crc"), data.with_name(".gone.parquet.crc")
    for file in (owned, orphan):
        file.touch()
    expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None)
    assert owned.exists() and not orphan.exists()


def test_nothing_is_deleted_when_the_table_lacks_a_file(lake):
    crowd(lake)
    compact(Lakehouse(lake), RULE, silent)
    (needed, *_) = (
        Path(task.file.file_path.removeprefix("file://"))
        for task in table(lake).scan().plan_files()
    )
    needed.rename(needed.with_suffix(".away"))
    before = files(lake)
    with pytest.raises(DatasetError, match="lacks 1 files"):
        expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None)
    assert before <= files(lake)


def test_a_job_that_may_be_resumed_finds_what_it_has_committed(lake):
    """Flink looks up its last commit in the table's history; without it, it would commit twice."""
    stream = table(lake)
    arrow = stream.scan().to_arrow()
    for properties in ({FLINK_CHECKPOINT: "6"}, {FLINK_CHECKPOINT: "7"}, {}, {}):
        with tables.ignore_row_group_warning():
            stream.append(arrow, snapshot_properties=properties)
    expire(Lakehouse(lake), Retention(LATER_US), LATER_US, LATER_US)
    assert [
        s.summary.additional_properties.get(FLINK_CHECKPOINT) for s in table(lake).snapshots()
    ] == ["7", None, None]
    expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None)
    assert len(table(lake).snapshots()) == 1


def snapshot_ids(lake: Settings) -> list[int]:
    return [snapshot.snapshot_id for snapshot in table(lake).snapshots()]


def append_empty(lake: Settings, times: int) -> None:
    for _ in range(times):
        put_nothing(lake, SILVER)


def test_a_busy_table_keeps_its_newest_snapshots_however_young_they_are(lake):
    append_empty(lake, 6)
    newest = snapshot_ids(lake)[-4:]
    expire(Lakehouse(lake), Retention(0, snapshots_max=4), LATER_US, None)
    assert snapshot_ids(lake) == newest


def test_a_quiet_table_keeps_its_newest_snapshots_however_old_they_are(lake):
    append_empty(lake, 6)
    newest = snapshot_ids(lake)[-4:]
    expire(Lakehouse(lake), Retention(LATER_US, snapshots_min=4), LATER_US, None)
    assert snapshot_ids(lake) == newest


def test_the_newest_commit_of_a_job_that_may_be_resumed_stays_beyond_the_largest_number(lake):
    table(lake).append(table(lake).scan().to_arrow(), snapshot_properties={FLINK_CHECKPOINT: "7"})
    append_empty(lake, 6)
    before = snapshot_ids(lake)
    expire(Lakehouse(lake), Retention(LATER_US, snapshots_max=4), LATER_US, LATER_US)
    assert snapshot_ids(lake) == before


def test_a_pinned_snapshot_stays_until_its_pin_ends(lake):
    Lakehouse(lake).append_ticks(ticks(0))
    pinned = table(lake).current_snapshot()
    before = rows(lake)
    pin(Lakehouse(lake), {SILVER: pinned.snapshot_id, GOLD: None}, "training-1")
    crowd(lake)
    compact(Lakehouse(lake), RULE, silent)
    ends_us = pinned.timestamp_ms * 1000 + int(lake.training_pin_days * DAY_US)
    expire(Lakehouse(lake), Retention(LATER_US), ends_us, None)
    assert rows(lake, snapshot_id=pinned.snapshot_id) == before
    expire(Lakehouse(lake), Retention(LATER_US), ends_us + 1000, None)
    assert snapshot_ids(lake) == [table(lake).current_snapshot().snapshot_id]
    assert set(table(lake).refs()) == {"main"}


def test_a_dry_expiry_counts_and_changes_nothing(lake):
    append_empty(lake, 3)
    (lake.warehouse / "silver" / "tick_data" / "orphan.parquet").write_bytes(bytes(5))
    before = files(lake)
    assert expire(Lakehouse(lake), Retention(LATER_US), LATER_US, None, dry=True) == Expired(
        snapshots=2, files=1, bytes=5
    )
    assert files(lake) == before


def test_the_retention_of_the_maintenance_is_that_of_the_settings(lake):
    assert Retention.of_maintenance(lake, LATER_US) == Retention(
        LATER_US - DAY_US, LATER_US, snapshots_min=10, snapshots_max=1000
    )
