"""The snapshots of a table: its earlier states."""

from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from contracts.errors import DatasetError
from lakehouse.schemas import COLUMNS_OF
from lakehouse.tables import Lakehouse


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
