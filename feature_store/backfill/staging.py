"""Put the rows of a finished chunk in place of those that gold holds for it, in one commit.

A chunk is computed into a staging table of its own, whose data files lie in gold's folder already.
The swap moves no data: it removes the old rows and adds the staged files to gold in one Iceberg
transaction. Readers see all of the old or all of the new.
"""

from collections.abc import Sequence

from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import And, BooleanExpression, In
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse import tables
from lakehouse.schemas import GOLD

NAMESPACE = "staging"
ATTEMPTS = 10


def stage(settings: Settings, name: str) -> str:
    """Make an empty staging table for gold's rows and return its identifier; what an earlier try
    left there is dropped.
    """
    store, gold = tables.catalog(settings), tables.catalog(settings).load_table(GOLD)
    identifier = f"{NAMESPACE}.{name}"
    drop(settings, identifier)
    store.create_namespace_if_not_exists(NAMESPACE)
    properties = gold.properties | {"write.data.path": f"{gold.location()}/data"}
    made = store.create_table(
        identifier, gold.schema(), partition_spec=gold.spec(), properties=properties
    )
    if made.schema().fields != gold.schema().fields or made.spec().fields != gold.spec().fields:
        raise DatasetError(
            f"{GOLD} has column ids that a new table does not get",
            "a backfill into a fresh lakehouse makes it anew",
        )
    return identifier


def drop(settings: Settings, identifier: str) -> None:
    """Forget a staging table; data files that no swap took stay until `tick lake expire` finds
    them.
    """
    store = tables.catalog(settings)
    try:
        store.drop_table(identifier)
    except NoSuchTableError:
        return


def clear(settings: Settings) -> None:
    """Forget every staging table, such as those of a run that was killed."""
    store = tables.catalog(settings)
    if store.namespace_exists(NAMESPACE):
        for namespace, name in store.list_tables(NAMESPACE):
            drop(settings, f"{namespace}.{name}")


def staged(settings: Settings, identifier: str) -> list[DataFile]:
    """The data files that Flink wrote into a staging table."""
    table = tables.catalog(settings).load_table(identifier)
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot else []
    return [
        entry.data_file
        for manifest in manifests
        for entry in manifest.fetch_manifest_entry(table.io)
    ]


def swap(
    settings: Settings,
    files: Sequence[DataFile],
    from_us: int,
    to_us: int,
    symbols: Sequence[str] | None,
) -> None:
    """Replace gold's rows with their end in [from, to) µs, of these symbols or all, by the rows of
    `files`.
    """
    wanted: BooleanExpression = tables.between(from_us, to_us)
    _commit(
        tables.catalog(settings).load_table(GOLD),
        And(wanted, In("symbol", list(symbols))) if symbols else wanted,
        files,
    )


@retry(
    retry=retry_if_exception_type(CommitFailedException),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_random(0.1, 1.0),
    reraise=True,
)
def _commit(gold: Table, wanted: BooleanExpression, files: Sequence[DataFile]) -> None:
    gold.refresh()
    with gold.transaction() as change, tables.writing():
        if next(iter(gold.scan(row_filter=wanted).plan_files()), None) is not None:
            change.delete(wanted)
        if files:
            with change.update_snapshot().fast_append() as added:
                for file in files:
                    added.append_data_file(file)
