"""Append ticks whose day is known to silver: one data file per day, any number of days in one
commit.

`Table.append` filters the whole batch once per day it contains. For a year of few ticks that costs
more than the rest of the load.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from uuid import uuid4

import polars as pl
from pyiceberg.io.pyarrow import write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table, WriteTask

from lakehouse import tables
from lakehouse.commits import refresh_for_one_attempt, retry_commit
from lakehouse.leases import Lease
from lakehouse.schemas import TICK_NAMES


def append_days(
    table: Table, days: Iterable[tuple[int, pl.DataFrame]], held: Lease | None = None
) -> int:
    """Append the ticks of each UTC day (days since 1970) in one commit; returns the number of rows.

    Empty days are skipped. Raises LeaseError, and appends nothing, when another process has taken
    over the lease `held`.
    """
    filled = ((day, ticks) for day, ticks in days if ticks.height)
    files = list(chain.from_iterable(_write(table, day, ticks) for day, ticks in filled))
    if files:
        _commit(table, files, held)
    return sum(file.record_count for file in files)


def _write(table: Table, day: int, ticks: pl.DataFrame) -> Iterable[DataFile]:
    """Write the rows to a data file that no snapshot references yet."""
    schema = table.schema()
    spec = table.spec()
    arrow = tables.silver_rows(ticks, schema.select(*TICK_NAMES))
    key = PartitionKey([PartitionFieldValue(spec.fields[0], day)], spec, schema)
    task = WriteTask(
        uuid4(),
        0,
        schema.select(*TICK_NAMES),
        arrow.combine_chunks().to_batches(),
        partition_key=key,
    )
    with tables.ignore_row_group_warning():
        return list(write_file(table.io, table.metadata, iter([task])))


@retry_commit
def _commit(table: Table, files: Sequence[DataFile], held: Lease | None) -> None:
    refresh_for_one_attempt(table)
    if held:
        held.require()
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        for file in files:
            append.append_data_file(file)
