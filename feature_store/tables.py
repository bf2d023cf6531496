"""The Iceberg tables: schemas derived from the contracts, partitioned by day, created through PyIceberg, written by Flink too."""

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import BooleanType, DoubleType, IcebergType, IntegerType, LongType, NestedField, StringType, TimestamptzType

from contracts.features import COLUMNS

SILVER = "silver.tick_data"
GOLD = "gold.tick_features"
GOLD_LIVE = "gold.tick_features_live"

_TICKS: tuple[tuple[str, IcebergType], ...] = (
    ("venue", StringType()),
    ("symbol", StringType()),
    ("event_time_us", LongType()),
    ("ingest_time_us", LongType()),
    ("price", DoubleType()),
    ("size", DoubleType()),
    ("side", IntegerType()),
    ("trade_id", StringType()),
    ("seq", LongType()),
    ("bid", DoubleType()),
    ("ask", DoubleType()),
    ("bid_size", DoubleType()),
    ("ask_size", DoubleType()),
    ("event_time", TimestamptzType()),
    ("late", BooleanType()),
)
_FEATURES: tuple[tuple[str, IcebergType], ...] = (
    ("view", StringType()),
    ("symbol", StringType()),
    ("event_time", TimestamptzType()),
    ("known_at_us", LongType()),
    ("warm_s", LongType()),
    *((column.name, DoubleType()) for column in COLUMNS),
)
COLUMNS_OF = {SILVER: _TICKS, GOLD: _FEATURES, GOLD_LIVE: _FEATURES}
FEATURE_NAMES = tuple(name for name, _ in _FEATURES)
TICK_NAMES = tuple(name for name, _ in _TICKS)

# A batch writes every day and view at once: small row groups, pages and dictionaries keep dozens of open Parquet writers
# of 88 columns inside the heap (with the defaults, two months of days ran out of it).
PROPERTIES = {
    "format-version": "2",
    "write.parquet.row-group-size-bytes": str(2**20),
    "write.parquet.page-size-bytes": str(64 * 2**10),
    "write.parquet.dict-size-bytes": str(32 * 2**10),
    "write.distribution-mode": "hash",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "commit.retry.num-retries": "20",
}


def schema(table: str) -> Schema:
    """Iceberg schema of one table; field ids follow the column order."""
    return Schema(*(NestedField(i, name, kind, required=False) for i, (name, kind) in enumerate(COLUMNS_OF[table], start=1)))


def partitions(table: str) -> PartitionSpec:
    """By day of event time; features also by view, since every reader wants one view."""
    names = [name for name, _ in COLUMNS_OF[table]]
    day = PartitionField(names.index("event_time") + 1, 1000, DayTransform(), "event_day")
    view = PartitionField(names.index("view") + 1, 1001, IdentityTransform(), "view") if "view" in names else None
    return PartitionSpec(day, view) if view else PartitionSpec(day)
