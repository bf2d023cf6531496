"""Upkeep of the Iceberg tables: what they hold, merging small files, forgetting old snapshots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan
from pyiceberg.table import Table
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.settings import Settings
from feature_store import lakehouse
from feature_store.tables import COLUMNS_OF

ATTEMPTS = 10
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one table holds now."""

    table: str
    rows: int
    files: int
    bytes: int
    snapshots: int


def summary(settings: Settings) -> list[Summary]:
    """One line per table, from metadata alone."""
    lakehouse.create(settings)
    lines = []
    for name in COLUMNS_OF:
        table = lakehouse.catalog(settings).load_table(name)
        files = table.inspect.files().select(["record_count", "file_size_in_bytes"]).to_pydict()
        rows, size = sum(files["record_count"]), sum(files["file_size_in_bytes"])
        lines.append(Summary(name, rows, len(files["record_count"]), size, len(table.snapshots())))
    return lines


def compact(settings: Settings, files_max: int, progress: Callable[[str, int, int], None]) -> int:
    """Rewrite every partition with more than `files_max` files into few; returns how many. Rows stay the same."""
    merged = 0
    for name in COLUMNS_OF:
        table = lakehouse.catalog(settings).load_table(name)
        crowded = [p["partition"] for p in table.inspect.partitions().to_pylist() if p["file_count"] > files_max]
        for done, partition in enumerate(crowded, start=1):
            _rewrite(table, _inside(partition))
            progress(name, done, len(crowded))
        merged += len(crowded)
    return merged


def expire(settings: Settings, before_us: int) -> int:
    """Expire snapshots older than `before_us` (µs UTC) that no branch points to; returns how many."""
    moment, count = datetime.fromtimestamp(before_us / 1e6, UTC), 0
    for name in COLUMNS_OF:
        table = lakehouse.catalog(settings).load_table(name)
        before = len(table.snapshots())
        table.maintenance.expire_snapshots().older_than(moment).commit()
        table.refresh()
        count += before - len(table.snapshots())
    return count


@retry(retry=retry_if_exception_type(CommitFailedException), stop=stop_after_attempt(ATTEMPTS), wait=wait_random(0.1, 1.0), reraise=True)
def _rewrite(table: Table, inside: BooleanExpression) -> None:
    """Read and overwrite on one base snapshot: a commit of the live job in between fails this one, which is tried again."""
    table.refresh()
    table.overwrite(table.scan(row_filter=inside).to_arrow(), overwrite_filter=inside)


def _inside(partition: dict[str, object]) -> BooleanExpression:
    day = partition["event_day"]
    begin = EPOCH + timedelta(days=day) if isinstance(day, int) else datetime.fromisoformat(str(day)).replace(tzinfo=UTC)
    expression: BooleanExpression = And(
        GreaterThanOrEqual("event_time", begin.isoformat()), LessThan("event_time", (begin + timedelta(days=1)).isoformat())
    )
    return And(expression, EqualTo("view", partition["view"])) if "view" in partition else expression
