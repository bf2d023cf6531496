"""Earlier states of a table: its snapshots, and the way back to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from feature_store import lakehouse, ledger
from feature_store.tables import COLUMNS_OF, GOLD, SILVER


@dataclass(frozen=True, slots=True)
class Version:
    """One snapshot. `rows` are all that it holds; `state`: current, past (the current one came of it) or set aside by a rollback."""

    snapshot_id: int
    taken_us: int
    operation: str
    rows_added: int
    rows_deleted: int
    rows: int
    state: str


def versions(settings: Settings, name: str) -> list[Version]:
    """The snapshots that were not expired, oldest first. Raises DatasetError for a table that does not exist."""
    table = _table(settings, name)
    current = table.current_snapshot()
    past = {snapshot.snapshot_id for snapshot in ancestors_of(current, table.metadata)}
    return [_version(snapshot, current, past) for snapshot in sorted(table.snapshots(), key=lambda s: s.sequence_number or 0)]


def rollback(settings: Settings, name: str, snapshot_id: int) -> Version:
    """Make an earlier snapshot the current one, and return it. Nothing is deleted: the way forward again is another rollback.

    Raises DatasetError for an unknown table, and for a snapshot that never was, was expired, or is
    the current one; JobError while a backfill runs that reads or writes the table.
    """
    table = _table(settings, name)
    if table.snapshot_by_id(snapshot_id) is None:
        raise DatasetError(f"{name} has no snapshot {snapshot_id}", f"`tick lake snapshots {name}` lists them; expired ones are gone")
    if (current := table.current_snapshot()) and current.snapshot_id == snapshot_id:
        raise DatasetError(f"{snapshot_id} is the current snapshot of {name}", "nothing was changed")
    with _without_backfill(settings, name):
        _set_current(table, snapshot_id)
    return next(version for version in versions(settings, name) if version.snapshot_id == snapshot_id)


@contextmanager
def _without_backfill(settings: Settings, name: str) -> Iterator[None]:
    """Keep backfills out while ticks or features change, and forget which chunks are done."""
    if name not in (GOLD, SILVER):
        yield
        return
    with ledger.alone(settings, f"a rollback of {name}"):
        # Chunks noted as done may be gone, or made of other ticks. Forgotten first, because a kill
        # in between then only costs work.
        ledger.forget(settings)
        yield


@retry(
    retry=retry_if_exception_type(CommitFailedException),
    stop=stop_after_attempt(lakehouse.COMMIT_ATTEMPTS),
    wait=wait_random(0.1, 1.0),
    reraise=True,
)
def _set_current(table: Table, snapshot_id: int) -> None:
    table.refresh()
    table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()


def _table(settings: Settings, name: str) -> Table:
    if name not in COLUMNS_OF:
        raise DatasetError(f"there is no table {name}", f"the tables: {', '.join(COLUMNS_OF)}")
    lakehouse.create(settings)
    return lakehouse.catalog(settings).load_table(name)


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
