"""Staging tables, and the swap of a finished chunk into gold in one commit.

A chunk is computed into its own staging table, whose data files are already in gold's folder. The
swap moves no data: it removes the old rows and adds the staged files to gold in one Iceberg
transaction. Readers see either all old rows or all new ones.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import And, BooleanExpression, In
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from contracts.errors import DatasetError
from lakehouse import tables
from lakehouse.commits import refresh_for_one_attempt, retry_commit
from lakehouse.leases import Lease
from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse

NAMESPACE = "staging"


def stage(lake: Lakehouse, name: str) -> str:
    """Create an empty staging table for gold's rows and return its identifier.

    A table that an earlier attempt left behind is dropped.
    """
    store, gold = lake.catalog, lake.table(GOLD)
    identifier = f"{NAMESPACE}.{name}"
    drop(lake, identifier)
    store.create_namespace_if_not_exists(NAMESPACE)
    properties = gold.properties | {"write.data.path": f"{gold.location()}/data"}
    table = store.create_table(
        identifier, gold.schema(), partition_spec=gold.spec(), properties=properties
    )
    if table.schema().fields != gold.schema().fields or table.spec().fields != gold.spec().fields:
        raise DatasetError(
            f"{GOLD} has column ids that a new table does not get",
            "run `tick backfill` into a new lakehouse, which creates the table again",
        )
    return identifier


def drop(lake: Lakehouse, identifier: str) -> None:
    """Drop a staging table; files that no swap took stay until `tick lake expire` deletes them."""
    with suppress(NoSuchTableError):
        lake.catalog.drop_table(identifier)


def clear(lake: Lakehouse) -> None:
    """Drop all staging tables, such as those of a killed run."""
    store = lake.catalog
    if store.namespace_exists(NAMESPACE):
        for namespace, name in store.list_tables(NAMESPACE):
            drop(lake, f"{namespace}.{name}")


def staged_files(lake: Lakehouse, identifier: str) -> list[DataFile]:
    """The data files that Flink wrote into a staging table."""
    table = lake.table(identifier)
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot else []
    entries = (manifest.fetch_manifest_entry(table.io) for manifest in manifests)
    return [entry.data_file for entry in chain.from_iterable(entries)]


def swap(
    lake: Lakehouse,
    files: Sequence[DataFile],
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None,
    held: Lease | None = None,
) -> None:
    """Replace gold's rows with their end in [from, to) µs by the rows of `files`.

    With `symbols`, only the rows of these symbols. Raises LeaseError, and changes nothing, when
    another process has taken over the lease `held`.
    """
    replaced: BooleanExpression = tables.between(from_us, to_us)
    if symbols:
        replaced = And(replaced, In("symbol", list(symbols)))
    _commit(lake.table(GOLD), replaced, files, held)


@retry_commit
def _commit(
    gold: Table, replaced: BooleanExpression, files: Sequence[DataFile], held: Lease | None
) -> None:
    refresh_for_one_attempt(gold)
    if held:
        held.require()
    with gold.transaction() as transaction, tables.ignore_row_group_warning():
        if next(iter(gold.scan(row_filter=replaced).plan_files()), None) is not None:
            transaction.delete(replaced)
        if files:
            with transaction.update_snapshot().fast_append() as append:
                for file in files:
                    append.append_data_file(file)
