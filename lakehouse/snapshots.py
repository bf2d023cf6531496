"""Earlier states of a table: its snapshots."""

from dataclasses import dataclass

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse import tables
from lakehouse.schemas import COLUMNS_OF


@dataclass(frozen=True, slots=True)
class Version:
    """One snapshot. `rows` are all that it holds; `state`: current, past (the current one came of
    it) or set aside by a rollback.
    """

    snapshot_id: int
    taken_us: int
    operation: str
    rows_added: int
    rows_deleted: int
    rows: int
    state: str


def versions(settings: Settings, name: str) -> list[Version]:
    """The snapshots that were not expired, oldest first. Raises DatasetError for a table that does
    not exist.
    """
    table = open_table(settings, name)
    current = table.current_snapshot()
    past = {snapshot.snapshot_id for snapshot in ancestors_of(current, table.metadata)}
    return [
        _version(snapshot, current, past)
        for snapshot in sorted(table.snapshots(), key=lambda s: s.sequence_number or 0)
    ]


def open_table(settings: Settings, name: str) -> Table:
    """A table of ours by its name. Raises DatasetError for any other."""
    if name not in COLUMNS_OF:
        raise DatasetError(f"there is no table {name}", f"the tables: {', '.join(COLUMNS_OF)}")
    tables.create(settings)
    return tables.catalog(settings).load_table(name)


def _version(snapshot: Snapshot, current: Snapshot | None, past: set[int]) -> Version:
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    is_current = current is not None and snapshot.snapshot_id == current.snapshot_id
    return Version(
        snapshot.snapshot_id,
        snapshot.timestamp_ms * 1000,
        snapshot.summary.operation.value if snapshot.summary else "",
        int(said.get("added-records", 0)),
        int(said.get("deleted-records", 0)),
        int(said.get("total-records", 0)),
        "current" if is_current else "past" if snapshot.snapshot_id in past else "set aside",
    )
