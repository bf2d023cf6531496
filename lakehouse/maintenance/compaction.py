"""Compaction: merges the small files of closed partitions, a group of bounded size at a time.

1. Plan: partitions whose day has ended, without a new file for a while, with many small files.
2. Read one group of files, write its rows as one file: no snapshot refers to it yet.
3. Commit: replace exactly the files of the group. After a conflict only this step is repeated; a
   group whose conflict stays is skipped.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import structlog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, write_file
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import FileScanTask, Table, WriteTask
from pyiceberg.typedef import Record

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.durations import DAY_US
from contracts.progress import Progress
from lakehouse import tables
from lakehouse.commits import CONFLICTS, refresh_for_one_attempt, retry_commit
from lakehouse.schemas import COLUMNS_OF
from lakehouse.tables import Lakehouse

DAY_FIELD = 0  # the first partition field of every table is the UTC day, as days since 1970

log = structlog.get_logger("lakehouse")


@dataclass(frozen=True, slots=True)
class CompactionRule:
    """Which partitions are compacted, and how much is read at a time.

    A partition is compacted when it has more than `files_max` files of less than half a group, its
    day ended before `closed_before_us` and its newest file was committed before `quiet_before_us`
    (both µs UTC). A group has at most `group_bytes` of files, so that memory is bounded.
    """

    files_max: int
    group_bytes: int
    closed_before_us: int | None = None
    quiet_before_us: int | None = None

    @staticmethod
    def of_closed_partitions(settings: LakehouseSettings, now_us: int) -> "CompactionRule":
        """The rule of the maintenance: partitions that the live job no longer writes to."""
        return CompactionRule(
            settings.compact_files_max,
            settings.compact_group_mb * 2**20,
            closed_before_us=now_us,
            quiet_before_us=now_us - int(settings.compact_quiet_s * 1e6),
        )


@dataclass(slots=True)
class Compacted:
    """Number of partitions with a group that was merged, of files before and after, and of groups
    that were skipped because another writer kept changing their files.
    """

    partitions: int = 0
    files_before: int = 0
    files_after: int = 0
    skipped_groups: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A data file of the current snapshot, what must be applied to it, and when it was committed.

    `committed_us` is 0 when the snapshot that added it has expired.
    """

    task: FileScanTask
    committed_us: int

    @property
    def size(self) -> int:
        return int(self.task.file.file_size_in_bytes)


def compact(
    lake: Lakehouse, rule: CompactionRule, progress: Progress, *, dry: bool = False
) -> Compacted:
    """Merge the small files of the partitions that `rule` selects; no row changes.

    `dry`: count what would be merged (`files_after` counts one file per group), change nothing.
    """
    lake.create()
    total = Compacted()
    for name in COLUMNS_OF:
        table = lake.table(name)
        crowded = _crowded_partitions(table, rule)
        for done, entries in enumerate(crowded, start=1):
            _compact_partition(table, _groups(entries, rule.group_bytes), total, dry)
            progress(name, done, len(crowded))
    return total


def _compact_partition(
    table: Table, groups: Sequence[Sequence[_Entry]], total: Compacted, dry: bool
) -> None:
    merged = 0
    for group in groups:
        files = 1 if dry else _merge(table, [entry.task for entry in group])
        if files:
            merged += 1
            total.files_before += len(group)
            total.files_after += files
        else:
            total.skipped_groups += 1
    total.partitions += merged > 0


def _crowded_partitions(table: Table, rule: CompactionRule) -> list[list[_Entry]]:
    partitions: dict[Record, list[_Entry]] = defaultdict(list)
    for entry in _entries(table):
        partitions[entry.task.file.partition].append(entry)
    closed = (part for day, part in partitions.items() if _is_closed(day[DAY_FIELD], part, rule))
    small = ([entry for entry in part if entry.size < rule.group_bytes / 2] for part in closed)
    return [part for part in small if len(part) > rule.files_max]


def _entries(table: Table) -> Iterator[_Entry]:
    """The data files of the current snapshot that have the table's partition spec."""
    if not tables.has_manifest(table):
        return
    committed_us = {s.snapshot_id: s.timestamp_ms * 1000 for s in table.snapshots()}
    snapshot = table.current_snapshot()
    assert snapshot is not None  # it has a manifest
    added_by = {
        entry.data_file.file_path: entry.snapshot_id
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        if entry.data_file.content == DataFileContent.DATA
    }
    for task in table.scan().plan_files():
        if task.file.spec_id == table.spec().spec_id:
            snapshot_id = added_by.get(task.file.file_path)
            yield _Entry(task, committed_us.get(snapshot_id, 0) if snapshot_id else 0)


def _is_closed(day: object, entries: Iterable[_Entry], rule: CompactionRule) -> bool:
    """A row without a time is in a partition without a day, which never closes."""
    if not isinstance(day, int):
        return False
    if rule.closed_before_us is not None and (day + 1) * DAY_US > rule.closed_before_us:
        return False
    newest_us = max(entry.committed_us for entry in entries)
    return rule.quiet_before_us is None or newest_us < rule.quiet_before_us


def _groups(entries: Iterable[_Entry], group_bytes: int) -> list[list[_Entry]]:
    """Groups of at least two files with at most `group_bytes` together, smallest files first."""
    groups: list[list[_Entry]] = [[]]
    size = 0
    for entry in sorted(entries, key=lambda entry: entry.size):
        if groups[-1] and size + entry.size > group_bytes:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += entry.size
    return [group for group in groups if len(group) > 1]


def _merge(table: Table, tasks: Sequence[FileScanTask]) -> int:
    """Replace the files of one group; returns the number of new files, 0 after a conflict."""
    written = _write_rows(table, tasks)
    try:
        _replace(table, [task.file for task in tasks], written)
    except CONFLICTS as error:
        log.warning("a group of files is not compacted", table=table.name(), error=str(error))
        for file in written:
            with suppress(OSError):
                table.io.delete(file.file_path)
        return 0
    return len(written)


def _write_rows(table: Table, tasks: Sequence[FileScanTask]) -> list[DataFile]:
    """Write the rows of the files, which are in one partition, to new data files."""
    schema, spec = table.schema(), table.spec()
    rows = ArrowScan(table.metadata, table.io, schema, AlwaysTrue()).to_table(tasks)
    partition = tasks[0].file.partition
    values = [PartitionFieldValue(field, partition[i]) for i, field in enumerate(spec.fields)]
    task = WriteTask(
        uuid4(),
        0,
        schema,
        rows.combine_chunks().to_batches(),
        partition_key=PartitionKey(values, spec, schema),
    )
    with tables.ignore_row_group_warning():
        return list(write_file(table.io, table.metadata, iter([task])))


@retry_commit
def _replace(table: Table, old: Iterable[DataFile], new: Iterable[DataFile]) -> None:
    """Replace exactly these files. Raises ValidationException when one is gone.

    Only `retry_commit` repeats it: with PyIceberg's own attempts in each of ours, a conflict that
    stays would take long.
    """
    refresh_for_one_attempt(table)
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as change:
        for file in old:
            change.delete_data_file(file)
        for file in new:
            change.append_data_file(file)
