"""Upkeep of the Iceberg tables: what they hold, merging small files, forgetting old snapshots and
deleting their files.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.config.settings import Settings
from lakehouse import orphan_files, tables
from lakehouse.schemas import COLUMNS_OF, GOLD, TIME_OF

ATTEMPTS = 10
SIZES = ("record_count", "file_size_in_bytes")
FLINKS_CHECKPOINT = "flink.max-committed-checkpoint-id"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one table holds now."""

    table: str
    rows: int
    files: int
    bytes: int
    snapshots: int


def summary(settings: Settings) -> list[Summary]:
    """One line per table, from metadata alone."""
    tables.create(settings)
    lines = []
    for name in COLUMNS_OF:
        table = tables.catalog(settings).load_table(name)
        files = tables.files(table, SIZES)
        rows, size = (sum(file[column] for file in files) for column in SIZES)
        lines.append(Summary(name, rows, len(files), size, len(table.snapshots())))
    return lines


def compact(settings: Settings, files_max: int, progress: Callable[[str, int, int], None]) -> int:
    """Rewrite every partition with more than `files_max` files into few; returns how many. Rows
    stay the same.
    """
    tables.create(settings)
    merged = 0
    for name in COLUMNS_OF:
        table = tables.catalog(settings).load_table(name)
        parts = table.inspect.partitions().to_pylist() if tables.has_manifest(table) else []
        crowded = [part["partition"] for part in parts if part["file_count"] > files_max]
        for done, partition in enumerate(crowded, start=1):
            _rewrite(table, _inside(partition, TIME_OF.get(name, "event_time")))
            progress(name, done, len(crowded))
        merged += len(crowded)
    return merged


@dataclass(frozen=True, slots=True)
class Expired:
    """Snapshots forgotten, files deleted and their size."""

    snapshots: int
    files: int
    bytes: int


def expire(settings: Settings, before_us: int, now_us: int, state_us: int | None) -> Expired:
    """Forget snapshots older than `before_us` and delete the files that only they needed. Times are
    µs UTC.

    `state_us`: when the newest checkpoint or savepoint of the live job was taken. A job that is
    resumed from it commits the files it had written by then: hence files younger than
    `orphan_age_s` before it, or before now, always stay. Files of a bucket always stay: to list a
    whole bucket is work for the catalog's own service.
    """
    written_us = min(now_us, now_us if state_us is None else state_us) - int(
        settings.orphan_age_s * 1e6
    )
    tables.create(settings)
    count, files, size = 0, 0, 0
    for name in COLUMNS_OF:
        table = tables.catalog(settings).load_table(name)
        count += _forget(table, before_us, resumable=state_us is not None and name != GOLD)
        gone, freed = (
            orphan_files.remove(table, min(before_us, written_us))
            if orphan_files.is_local(table)
            else (0, 0)
        )
        files, size = files + gone, size + freed
    return Expired(count, files, size)


@retry(
    retry=retry_if_exception_type(CommitFailedException),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random(0.1, 1.0),
    reraise=True,
)
def _forget(table: Table, before_us: int, *, resumable: bool) -> int:
    """Expire old snapshots; if a job may be resumed, none since Flink's newest, where it looks up
    what it has committed already.
    """
    table.refresh()
    known, pointed_at = table.snapshots(), {ref.snapshot_id for ref in table.refs().values()}
    flinks = [
        s.timestamp_ms * 1000
        for s in known
        if resumable and s.summary and FLINKS_CHECKPOINT in s.summary.additional_properties
    ]
    bound_us = min(before_us, max(flinks, default=before_us))
    old = [
        s.snapshot_id
        for s in known
        if s.timestamp_ms * 1000 < bound_us and s.snapshot_id not in pointed_at
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
    return len(old)


@retry(
    retry=retry_if_exception_type(CommitFailedException),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random(0.1, 1.0),
    reraise=True,
)
def _rewrite(table: Table, inside: BooleanExpression) -> None:
    """Read and overwrite on one base snapshot: a commit of the live job in between fails this one,
    which is tried again.
    """
    table.refresh()
    with tables.writing():
        table.overwrite(table.scan(row_filter=inside).to_arrow(), overwrite_filter=inside)


def _inside(partition: dict[str, object], time: str) -> BooleanExpression:
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
