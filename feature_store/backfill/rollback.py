"""Rolls a table back to an earlier snapshot, while no backfill reads or writes it."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyiceberg.table import Table

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.home import HomeSettings
from contracts.errors import DatasetError
from feature_store.backfill import ledger
from lakehouse.commits import retry_commit
from lakehouse.schemas import GOLD, SILVER
from lakehouse.snapshots import SnapshotInfo, list_snapshots, open_table
from lakehouse.tables import Lakehouse


def rollback(settings: LakehouseSettings, name: str, snapshot_id: int) -> SnapshotInfo:
    """Make an earlier snapshot the current one, and return it.

    Nothing is deleted: another rollback can undo this one. Raises DatasetError for an unknown
    table, and for a snapshot that does not exist, has expired or is the current one; JobError while
    a backfill that reads or writes the table is running.
    """
    lake = Lakehouse(settings)
    table = open_table(lake, name)
    _require_earlier(table, name, snapshot_id)
    with _without_backfill(settings, name):
        _set_current(table, snapshot_id)
    return next(info for info in list_snapshots(lake, name) if info.snapshot_id == snapshot_id)


def _require_earlier(table: Table, name: str, snapshot_id: int) -> None:
    if table.snapshot_by_id(snapshot_id) is None:
        raise DatasetError(
            f"{name} has no snapshot {snapshot_id}",
            f"choose one of `tick lake snapshots {name}`; expired ones cannot be restored",
        )
    if (current := table.current_snapshot()) and current.snapshot_id == snapshot_id:
        raise DatasetError(
            f"{snapshot_id} is the current snapshot of {name}", "nothing was changed"
        )


@contextmanager
def _without_backfill(settings: HomeSettings, name: str) -> Iterator[None]:
    """Keep backfills out while ticks or features change, and clear the ledger."""
    if name not in (GOLD, SILVER):
        yield
        return
    with ledger.exclusive_access(settings, f"a rollback of {name}"):
        # Chunks in the ledger may be gone after the rollback, or depend on other ticks. Clear it
        # first: a kill in between then only costs work.
        ledger.clear(settings)
        yield


@retry_commit
def _set_current(table: Table, snapshot_id: int) -> None:
    table.refresh()
    table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()
