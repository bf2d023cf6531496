"""Rows, files, size and snapshots of each table."""

from dataclasses import dataclass

from lakehouse import tables
from lakehouse.schemas import COLUMNS_OF
from lakehouse.tables import Lakehouse

SIZES = ("record_count", "file_size_in_bytes")


@dataclass(frozen=True, slots=True)
class Summary:
    """Current content of one table."""

    table: str
    rows: int
    files: int
    bytes: int
    snapshots: int


def summary(lake: Lakehouse) -> list[Summary]:
    """One summary per table, from metadata alone."""
    lake.create()
    summaries = []
    for name in COLUMNS_OF:
        table = lake.table(name)
        files = tables.files(table, SIZES)
        rows, size = (sum(file[column] for file in files) for column in SIZES)
        summaries.append(Summary(name, rows, len(files), size, len(table.snapshots())))
    return summaries
