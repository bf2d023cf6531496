"""The snapshots of a table: its earlier states."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from contracts.errors import DatasetError
from lakehouse.commits import retry_commit
from lakehouse.schemas import COLUMNS_OF
from lakehouse.tables import Lakehouse

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot; `rows` is the row count of the whole table.

    `state`: current, past (an ancestor of the current one) or set aside by a rollback.
    """

    snapshot_id: int
    taken_us: int
    operation: str
    rows_added: int
    rows_deleted: int
    rows: int
    state: str


def list_snapshots(lake: Lakehouse, name: str) -> list[SnapshotInfo]:
    """The snapshots that have not expired, oldest first. Raises DatasetError for unknown tables."""
    table = open_table(lake, name)
    current = table.current_snapshot()
    states = {snapshot.snapshot_id: "past" for snapshot in ancestors_of(current, table.metadata)}
    if current is not None:
        states[current.snapshot_id] = "current"
    return [
        _snapshot_info(snapshot, states.get(snapshot.snapshot_id, "set aside"))
        for snapshot in sorted(table.snapshots(), key=lambda s: s.sequence_number or 0)
    ]


def open_table(lake: Lakehouse, name: str) -> Table:
    """A lakehouse table by name. Raises DatasetError for an unknown one."""
    if name not in COLUMNS_OF:
        raise DatasetError(f"unknown table {name}", f"choose one of {', '.join(COLUMNS_OF)}")
    lake.create()
    return lake.table(name)


def pin(lake: Lakehouse, snapshots: Mapping[str, int | None], tag: str) -> None:
    """Keep these snapshots (table → id) readable for `training_pin_days`, under an Iceberg tag.

    Idempotent. Raises DatasetError when a snapshot has expired.
    """
    for name, snapshot_id in snapshots.items():
        if snapshot_id is not None:
            _pin(lake.table(name), snapshot_id, tag, int(lake.settings.training_pin_days * DAY_MS))


@retry_commit
def _pin(table: Table, snapshot_id: int, tag: str, keep_ms: int) -> None:
    table.refresh()
    present = table.refs().get(tag)
    if present is not None and present.snapshot_id == snapshot_id:
        return
    if table.snapshot_by_id(snapshot_id) is None:
        raise DatasetError(
            f"{'.'.join(table.name())} has no snapshot {snapshot_id} any more",
            "it expired while it was read: repeat the command, or raise TICK_SNAPSHOTS_MAX",
        )
    table.manage_snapshots().create_tag(snapshot_id, tag, keep_ms).commit()


def _snapshot_info(snapshot: Snapshot, state: str) -> SnapshotInfo:
    assert snapshot.summary is not None  # required in every table of format version 2
    counts = snapshot.summary.additional_properties
    return SnapshotInfo(
        snapshot.snapshot_id,
        snapshot.timestamp_ms * 1000,
        snapshot.summary.operation.value,
        int(counts.get("added-records", 0)),
        int(counts.get("deleted-records", 0)),
        int(counts.get("total-records", 0)),
        state,
    )
