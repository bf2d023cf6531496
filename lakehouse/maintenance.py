"""Table maintenance: size summary, compaction of small files, expiry of old snapshots."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.table import Table

from contracts.progress import Progress
from lakehouse import orphan_files, tables
from lakehouse.commits import retry_commit
from lakehouse.schemas import COLUMNS_OF, GOLD, TIME_OF
from lakehouse.tables import Lakehouse

SIZES = ("record_count", "file_size_in_bytes")
FLINK_CHECKPOINT = "flink.max-committed-checkpoint-id"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """Current content of one table."""

    table: str
    rows: int
    files: int
    bytes: int
    snapshots: int


def summary(lake: Lakehouse) -> list[Summary]:
    """One summary per table, from metadata alone."""
    lake.create()
    summaries = []
    for name in COLUMNS_OF:
        table = lake.table(name)
        files = tables.files(table, SIZES)
        rows, size = (sum(file[column] for file in files) for column in SIZES)
        summaries.append(Summary(name, rows, len(files), size, len(table.snapshots())))
    return summaries


def compact(lake: Lakehouse, files_max: int, progress: Progress) -> int:
    """Rewrite every partition with more than `files_max` files into few; returns how many
    partitions.

    The rows stay the same.
    """
    lake.create()
    merged = 0
    for name in COLUMNS_OF:
        table = lake.table(name)
        crowded = _crowded_partitions(table, files_max)
        for done, partition in enumerate(crowded, start=1):
            _rewrite(table, _partition_filter(partition, TIME_OF.get(name, "event_time")))
            progress(name, done, len(crowded))
        merged += len(crowded)
    return merged


def _crowded_partitions(table: Table, files_max: int) -> list[dict[str, object]]:
    if not tables.has_manifest(table):
        return []
    parts = table.inspect.partitions().to_pylist()
    return [part["partition"] for part in parts if part["file_count"] > files_max]


@dataclass(frozen=True, slots=True)
class Expired:
    """Number of expired snapshots, number and size of deleted files."""

    snapshots: int
    files: int
    bytes: int


def expire(lake: Lakehouse, before_us: int, now_us: int, state_us: int | None) -> Expired:
    """Expire snapshots older than `before_us` and delete the files that only they needed.

    Times are µs UTC. `state_us` is when the newest checkpoint or savepoint of the live job was
    taken. A job resumed from it commits the files it had written by then, so files younger than
    `orphan_age_s` before it (or before now) always stay. Files in a bucket always stay: listing a
    whole bucket is a job for the catalog's own service.
    """
    newest_us = now_us if state_us is None else min(now_us, state_us)
    written_us = newest_us - int(lake.settings.orphan_age_s * 1e6)
    lake.create()
    snapshots, files, size = 0, 0, 0
    for name in COLUMNS_OF:
        table = lake.table(name)
        resumable = state_us is not None and name != GOLD
        snapshots += _expire_snapshots(table, before_us, resumable=resumable)
        if orphan_files.is_local(table):
            deleted, freed = orphan_files.remove(table, min(before_us, written_us))
            files += deleted
            size += freed
    return Expired(snapshots, files, size)


@retry_commit
def _expire_snapshots(table: Table, before_us: int, *, resumable: bool) -> int:
    """Expire old snapshots; returns how many.

    When a job may be resumed, Flink's newest snapshot and all later ones stay: Flink looks up there
    what it has already committed.
    """
    table.refresh()
    bound_us = min(before_us, _flink_us(table, before_us)) if resumable else before_us
    old = _unreferenced(table, bound_us)
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
    return len(old)


def _unreferenced(table: Table, before_us: int) -> list[int]:
    """Snapshots taken before `before_us` that no branch or tag refers to."""
    referenced = {ref.snapshot_id for ref in table.refs().values()}
    return [
        s.snapshot_id
        for s in table.snapshots()
        if s.timestamp_ms * 1000 < before_us and s.snapshot_id not in referenced
    ]


def _flink_us(table: Table, default_us: int) -> int:
    """Time of the newest snapshot that Flink committed, µs UTC; the default where there is none."""
    times_us = (
        s.timestamp_ms * 1000
        for s in table.snapshots()
        if s.summary and FLINK_CHECKPOINT in s.summary.additional_properties
    )
    return max(times_us, default=default_us)


@retry_commit
def _rewrite(table: Table, partition: BooleanExpression) -> None:
    """Read and overwrite a partition on one base snapshot.

    A commit of the live job in between fails this one, which is retried.
    """
    table.refresh()
    with tables.ignore_row_group_warning():
        table.overwrite(table.scan(row_filter=partition).to_arrow(), overwrite_filter=partition)


def _partition_filter(partition: dict[str, object], time: str) -> BooleanExpression:
    day = partition["event_day"]
    begin = (
        EPOCH + timedelta(days=day)
        if isinstance(day, int)
        else datetime.fromisoformat(str(day)).replace(tzinfo=UTC)
    )
    expression: BooleanExpression = And(
        GreaterThanOrEqual(time, begin.isoformat()),
        LessThan(time, (begin + timedelta(days=1)).isoformat()),
    )
    return (
        And(expression, EqualTo("view", partition["view"])) if "view" in partition else expression
    )
