"""The limit on rows that one read takes into memory, estimated before any data file is opened."""

from pyiceberg.table import DataScan

from contracts.errors import DatasetError


def estimate_rows(scan: DataScan) -> int:
    """The rows of the files that `scan` would open, from the manifests: an upper bound."""
    return sum(task.file.record_count for task in scan.plan_files())


def require_rows(scan: DataScan, table: str, rows_max: int) -> None:
    """Raise DatasetError when `scan` may read more than `rows_max` rows of `table`."""
    rows = estimate_rows(scan)
    if rows > rows_max:
        raise DatasetError(
            f"the files of this range of {table} have {rows:,} rows, at most {rows_max:,} are read"
            " into memory at once",
            "choose a shorter range (--from, --to) or fewer symbols; with enough memory (about 1 GB"
            " for 5 million rows) raise TICK_READ_ROWS_MAX",
        )
