"""Leases: work that only one process may do at a time, on whichever host that shares the catalog.

A lease is an empty Iceberg table in namespace `leases`. Every change is a commit with a condition:

1. Acquire: add a snapshot that names the holder, if the current snapshot is still the one read.
2. Renew and release: set a property, if the current snapshot is still the holder's.
3. A lease that its holder did not release is taken over once neither has changed for its duration.
   The process that waits measures this with its own monotonic clock; no wall clocks are compared.

A holder that was suspended may wake up after a takeover. It therefore calls `Lease.require`
between the refresh of a guarded table and each commit to it, and a takeover commits an empty
snapshot to the guarded tables: a commit that was prepared before it conflicts.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.update import AssertRefSnapshotId, SetPropertiesUpdate
from pyiceberg.types import LongType, NestedField
from sqlalchemy.exc import IntegrityError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.clock import now_us
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.errors import JobError
from lakehouse.commits import commit_empty
from lakehouse.tables import Lakehouse

NAMESPACE = "leases"
BACKFILL, LOAD, LIVE_JOB, MAINTENANCE = "backfill", "load", "live_job", "maintenance"
POWER, UPGRADE = "power", "upgrade"
RENEWALS = 3  # per duration: two may fail before the lease can be taken over
POLL_S = 0.5
HOLDER, DURATION_S = "lease.holder", "lease.duration-s"  # in the summary of a snapshot
STATE, RELEASED = "lease.state", "released"  # a property of the table
PROPERTIES = {
    "format-version": "2",
    # PyIceberg would repeat a failed commit on top of another holder's.
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "5",
}
SCHEMA = Schema(NestedField(1, "unused", LongType(), required=False))

log = structlog.get_logger("lakehouse")


class LeaseError(JobError):
    """The lease is held by another process, or another process has taken it over."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a lease's table says: holder and duration of its newest snapshot, and its state.

    `state` is the token and `released`, or the token and the number of the newest renewal.
    """

    token: int | None
    holder: str = ""
    duration_s: float = 0.0
    state: str = ""

    @property
    def is_free(self) -> bool:
        """Whether there was no holder yet, or the newest one has released it."""
        return self.token is None or self.state == f"{self.token} {RELEASED}"


class Observer:
    """Tells when a holding has been unchanged for its duration, by the observer's own clock."""

    def __init__(self) -> None:
        self._seen: Holding | None = None
        self._since_s = 0.0

    def has_expired(self, holding: Holding, monotonic_s: float) -> bool:
        """Whether a holding observed now was the same at least its duration ago."""
        if holding != self._seen:
            self._seen, self._since_s = holding, monotonic_s
        return monotonic_s - self._since_s >= holding.duration_s


class Lease:
    """A held lease; `token` is larger than those of all earlier holders."""

    def __init__(self, table: Table, name: str, snapshot_id: int) -> None:
        self.name, self.snapshot_id = name, snapshot_id
        self._table = table
        self._renewals = 0

    @property
    def token(self) -> int:
        """The sequence number of the snapshot with which the lease was acquired."""
        snapshot = self._table.metadata.snapshot_by_id(self.snapshot_id)
        assert snapshot is not None and snapshot.sequence_number is not None
        return snapshot.sequence_number

    def require(self) -> None:
        """Raise LeaseError if another process has taken the lease over."""
        current = self._table.catalog.load_table(self._table.name()).current_snapshot()
        if current is None or current.snapshot_id != self.snapshot_id:
            raise LeaseError(
                f"the lease {self.name} was taken over by another process, because this one did not"
                " renew it in time",
                "nothing more was written; run the command again",
            )

    def renew(self) -> None:
        """Show that the holder is alive. Raises CommitFailedException after a takeover."""
        self._renewals += 1
        self._set_state(str(self._renewals))

    def release(self) -> None:
        """Free the lease for the next process at once. Raises CommitFailedException."""
        self._set_state(RELEASED)

    @retry(
        retry=retry_if_exception_type(CommitFailedException),
        stop=stop_after_attempt(3),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )
    def _set_state(self, state: str) -> None:
        is_mine = AssertRefSnapshotId(ref="main", snapshot_id=self.snapshot_id)
        update = SetPropertiesUpdate(updates={STATE: f"{self.snapshot_id} {state}"})
        # `Transaction.set_properties` has no such condition; `catalog.commit_table` would leave the
        # old metadata files behind.
        self._table._do_commit((update,), (is_mine,))


@contextmanager
def lease(
    settings: LakehouseSettings,
    name: str,
    wait_s: float | None = None,
    *,
    holder: str = "",
    guarded: Sequence[str] = (),
) -> Iterator[Lease]:
    """Hold the lease `name` for the duration of the block, renewed by a thread.

    Waits up to `wait_s` (default: `lease_wait_s`) until it is free or its holder is dead; a wait
    shorter than the holder's `lease_s` cannot find out the latter. `holder` is how refusals name
    this process, such as "a backfill"; `guarded` are the tables that the lease protects. Raises
    LeaseError when the lease is still held at the end of the wait.
    """
    bound_s = settings.lease_wait_s if wait_s is None else wait_s
    held = _acquire(settings, name, _describe(holder or name), bound_s, guarded)
    stop = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(held, settings.lease_s / RENEWALS, stop), daemon=True
    )
    renewing.start()
    try:
        yield held
    finally:
        stop.set()
        renewing.join(settings.lease_s)
        _release(held)


def read(settings: LakehouseSettings, name: str) -> Holding:
    """Who holds the lease, or held it last."""
    return _holding(_open(settings, name))


def _acquire(
    settings: LakehouseSettings, name: str, holder: str, wait_s: float, guarded: Sequence[str]
) -> Lease:
    observer, deadline_s, waited = Observer(), time.monotonic() + wait_s, False
    while True:
        table = _open(settings, name)
        holding, now_s = _holding(table), time.monotonic()
        if holding.is_free or observer.has_expired(holding, now_s):
            if held := _try_acquire(table, name, holder, settings.lease_s):
                if not holding.is_free:
                    _fence(settings, guarded)
                return held
        elif now_s >= deadline_s:
            raise LeaseError(
                f"{holding.holder} is running on this lakehouse",
                f"waited {wait_s:.0f} s (TICK_LEASE_WAIT_S): stop it, or run the command again when"
                " it has ended",
            )
        elif not waited:
            waited = True
            log.warning("waiting for another process", lease=name, holder=holding.holder)
        time.sleep(min(POLL_S, settings.lease_s / 10))


def _try_acquire(table: Table, name: str, holder: str, duration_s: float) -> Lease | None:
    """The lease, or None if another process changed it since `table` was read."""
    previous = table.metadata.snapshots
    properties = {HOLDER: holder, DURATION_S: str(duration_s)}
    try:
        snapshot_id = commit_empty(table, properties)
    except (CommitFailedException, FileNotFoundError):  # the new holder deletes superseded files
        return None
    # Without this, the table would keep a snapshot per holder.
    with suppress(CommitFailedException):
        table.maintenance.expire_snapshots().by_ids([s.snapshot_id for s in previous]).commit()
        for snapshot in previous:
            table.io.delete(snapshot.manifest_list)
    return Lease(table, name, snapshot_id)


def _fence(settings: LakehouseSettings, guarded: Sequence[str]) -> None:
    """Make commits that the previous holder prepared before the takeover conflict."""
    for name in guarded:
        with suppress(NoSuchTableError):
            table = Lakehouse(settings).table(name)
            commit_empty(table, {})


def _renew(held: Lease, interval_s: float, stop: threading.Event) -> None:
    while not stop.wait(interval_s):
        try:
            held.renew()
        except CommitFailedException:
            log.warning("a lease was taken over by another process", lease=held.name)
            return
        except Exception as error:  # noqa: BLE001 - the store may be back at the next renewal
            log.warning("a lease could not be renewed", lease=held.name, error=str(error))


def _release(held: Lease) -> None:
    try:
        held.release()
    except Exception as error:  # noqa: BLE001 - the work is done, and the lease ends by itself
        log.warning("a lease could not be released", lease=held.name, error=str(error))


@retry(
    # Two processes create the namespace at once, or a holder deletes superseded files.
    retry=retry_if_exception_type((IntegrityError, FileNotFoundError)),
    stop=stop_after_attempt(5),
    wait=wait_random(0.01, 0.1),
    reraise=True,
)
def _open(settings: LakehouseSettings, name: str) -> Table:
    """The table of a lease in its current state; created on first use."""
    catalog, identifier = Lakehouse(settings).catalog, f"{NAMESPACE}.{name}"
    with suppress(NoSuchTableError):
        return catalog.load_table(identifier)
    catalog.create_namespace_if_not_exists(NAMESPACE)
    return catalog.create_table_if_not_exists(identifier, SCHEMA, properties=PROPERTIES)


def _holding(table: Table) -> Holding:
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return Holding(None)
    summary = snapshot.summary.additional_properties
    state = table.properties.get(STATE, "")
    return Holding(snapshot.snapshot_id, summary[HOLDER], float(summary[DURATION_S]), state)


def _describe(holder: str) -> str:
    since = datetime.fromtimestamp(now_us() / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{holder} (host {socket.gethostname()}, PID {os.getpid()}, since {since} UTC)"
