"""Rolls a table back to an earlier snapshot, while no backfill reads or writes it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pyiceberg.table import Table

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.errors import DatasetError
from feature_store.backfill import ledger
from lakehouse import leases
from lakehouse.commits import refresh_for_one_attempt, retry_commit
from lakehouse.leases import Lease
from lakehouse.schemas import GOLD, SILVER
from lakehouse.snapshots import SnapshotInfo, list_snapshots, open_table
from lakehouse.tables import Lakehouse


def rollback(settings: LakehouseSettings, name: str, snapshot_id: int) -> SnapshotInfo:
    """Make an earlier snapshot the current one, and return it.

    Nothing is deleted: another rollback can undo this one. Raises DatasetError for an unknown
    table, and for a snapshot that does not exist, has expired or is the current one; LeaseError
    when a backfill or a load that reads or writes the table still runs after `lease_wait_s`.
    """
    lake = Lakehouse(settings)
    table = open_table(lake, name)
    _require_earlier(table, name, snapshot_id)
    with _without_writers(settings, name) as held:
        _set_current(table, snapshot_id, held)
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
def _without_writers(settings: LakehouseSettings, name: str) -> Iterator[list[Lease]]:
    """Keep backfills and loads out while ticks or features change, and clear the ledger."""
    if name not in (GOLD, SILVER):
        yield []
        return
    holder = f"a rollback of {name}"
    with ExitStack() as stack:
        held = [stack.enter_context(ledger.exclusive_access(settings, holder))]
        if name == SILVER:
            load = leases.lease(settings, leases.LOAD, holder=holder, guarded=(SILVER,))
            held.append(stack.enter_context(load))
        # Chunks in the ledger may be gone after the rollback, or depend on other ticks. Clear it
        # first: a kill in between then only costs work.
        ledger.clear(settings)
        yield held


@retry_commit
def _set_current(table: Table, snapshot_id: int, held: Sequence[Lease]) -> None:
    refresh_for_one_attempt(table)
    for lease in held:
        lease.require()
    table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()
