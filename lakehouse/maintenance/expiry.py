"""Expiry: removes old snapshots from the metadata, and deletes the files that only they needed."""

from collections.abc import Collection
from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.durations import HOUR_US
from lakehouse.commits import retry_commit
from lakehouse.maintenance import orphan_files
from lakehouse.schemas import COLUMNS_OF, GOLD
from lakehouse.tables import Lakehouse

FLINK_CHECKPOINT = "flink.max-committed-checkpoint-id"


@dataclass(frozen=True, slots=True)
class Expired:
    """Number of expired snapshots, number and size of deleted files."""

    snapshots: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Retention:
    """Which snapshots of a table stay: those taken since `before_us` (µs UTC), at least the newest
    `snapshots_min`, at most the newest `snapshots_max`; and those that a branch or tag refers to.

    An unreferenced file stays if it was written since `files_before_us`, default `before_us`.
    """

    before_us: int
    files_before_us: int | None = None
    snapshots_min: int = 1
    snapshots_max: int | None = None

    @staticmethod
    def of_maintenance(settings: LakehouseSettings, now_us: int) -> "Retention":
        """The retention of the settings. Unreferenced files stay for `orphan_age_s` only: the
        manifests of expired snapshots are small, and many.
        """
        return Retention(
            now_us - int(settings.snapshot_keep_h * HOUR_US),
            files_before_us=now_us,
            snapshots_min=settings.snapshots_min,
            snapshots_max=settings.snapshots_max,
        )

    def outdated(self, snapshots: Collection[Snapshot]) -> list[Snapshot]:
        """The snapshots that need not stay."""
        newest_first = sorted(snapshots, key=lambda s: s.sequence_number or 0, reverse=True)
        return [
            snapshot
            for rank, snapshot in enumerate(newest_first)
            if rank >= self.snapshots_min and self._is_outdated(rank, snapshot)
        ]

    def _is_outdated(self, rank: int, snapshot: Snapshot) -> bool:
        beyond_max = self.snapshots_max is not None and rank >= self.snapshots_max
        return beyond_max or snapshot.timestamp_ms * 1000 < self.before_us


def expire(
    lake: Lakehouse,
    retention: Retention,
    now_us: int,
    state_us: int | None,
    *,
    dry: bool = False,
) -> Expired:
    """Expire the snapshots that `retention` does not keep, and delete the files that only they
    needed.

    Times are µs UTC. `state_us` is when the newest checkpoint or savepoint of the live job was
    taken. A job resumed from it commits the files it had written by then, so files younger than
    `orphan_age_s` before it (or before now) always stay. `dry`: count, delete nothing; files that
    only the expiring snapshots need are then not counted.
    """
    newest_us = now_us if state_us is None else min(now_us, state_us)
    written_us = newest_us - int(lake.settings.orphan_age_s * 1e6)
    if retention.files_before_us is None:
        files_before_us = min(retention.before_us, written_us)
    else:
        files_before_us = min(retention.files_before_us, written_us)
    lake.create()
    snapshots, files, size = 0, 0, 0
    for name in COLUMNS_OF:
        table = lake.table(name)
        resumable = state_us is not None and name != GOLD
        snapshots += _expire_snapshots(table, retention, now_us, resumable=resumable, dry=dry)
        deleted, freed = orphan_files.remove(table, files_before_us, dry=dry)
        files += deleted
        size += freed
    return Expired(snapshots, files, size)


@retry_commit
def _expire_snapshots(
    table: Table, retention: Retention, now_us: int, *, resumable: bool, dry: bool
) -> int:
    """Expire old tags and snapshots; returns the number of snapshots.

    When a job may be resumed, Flink's newest snapshot and all later ones stay: Flink looks up there
    what it has already committed.
    """
    table.refresh()
    ended = _ended_tags(table, now_us)
    referenced = {ref.snapshot_id for name, ref in table.refs().items() if name not in ended}
    outdated = retention.outdated(table.snapshots())
    before_us = _flink_us(table, now_us) if resumable else None
    old = [
        s.snapshot_id
        for s in outdated
        if s.snapshot_id not in referenced
        and (before_us is None or s.timestamp_ms * 1000 < before_us)
    ]
    if not dry:
        _commit(table, ended, old)
    return len(old)


def _commit(table: Table, ended_tags: Collection[str], snapshot_ids: list[int]) -> None:
    for tag in ended_tags:
        table.manage_snapshots().remove_tag(tag).commit()
    if snapshot_ids:
        table.maintenance.expire_snapshots().by_ids(snapshot_ids).commit()


def _ended_tags(table: Table, now_us: int) -> list[str]:
    """Tags with a limited age whose snapshot is older. Other tags never end."""
    return [
        name
        for name, ref in table.refs().items()
        if ref.snapshot_ref_type is SnapshotRefType.TAG
        and ref.max_ref_age_ms is not None
        and (snapshot := table.snapshot_by_id(ref.snapshot_id)) is not None
        and now_us > (snapshot.timestamp_ms + ref.max_ref_age_ms) * 1000
    ]


def _flink_us(table: Table, default_us: int) -> int:
    """Time of the newest snapshot that Flink committed, µs UTC; the default where there is none."""
    times_us = (
        s.timestamp_ms * 1000
        for s in table.snapshots()
        if s.summary and FLINK_CHECKPOINT in s.summary.additional_properties
    )
    return max(times_us, default=default_us)
