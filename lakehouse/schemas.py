"""Schemas of the Iceberg tables, derived from the contracts and partitioned by day.

PyIceberg creates the tables; Flink writes to them too.
"""

from collections.abc import Iterable, Mapping

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from contracts import feature_row, prediction, tick
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.durations import HOUR_US
from contracts.fields import Field, Kind

SILVER = "silver.tick_data"
DEAD_LETTER = "silver.dead_letter"
POWER = "silver.power_consumption"
GOLD = "gold.tick_features"
GOLD_LIVE = "gold.tick_features_live"
PREDICTIONS = "gold.predictions"
POWER_FORECASTS = "gold.power_forecasts"
DAILY = "gold.tick_daily"
DAILY_VOLATILITY = "gold.tick_daily_volatility"
DAILY_PROFILE = "gold.tick_daily_profile"
DAILY_CORRELATION = "gold.tick_daily_correlation"

_ICEBERG: dict[Kind, IcebergType] = {
    Kind.TEXT: StringType(),
    Kind.FLAG: BooleanType(),
    Kind.INT: IntegerType(),
    Kind.LONG: LongType(),
    Kind.REAL: DoubleType(),
    Kind.OBJECT: StringType(),
}


Columns = tuple[tuple[str, IcebergType], ...]


def _columns(fields: Iterable[Field], instead: Mapping[str, Columns] | None = None) -> Columns:
    """One column per field, or the columns `instead` of a field."""
    replaced = instead or {}
    return tuple(
        column
        for field in fields
        for column in replaced.get(field.name, ((field.name, _ICEBERG[field.kind]),))
    )


_TICKS: Columns = (
    *_columns(tick.FIELDS),
    ("event_time", TimestamptzType()),
    ("late", BooleanType()),
)
# A row of a file that was rejected. It may lack an event time, so it is partitioned by the day on
# which it was loaded.
_DEAD_LETTERS: Columns = (
    ("source", StringType()),
    ("row_number", LongType()),
    ("reason", StringType()),
    ("detail", StringType()),
    ("raw", BinaryType()),
    ("loaded_at", TimestamptzType()),
)
_POWER: Columns = (
    ("event_time", TimestamptzType()),
    ("series", StringType()),
    ("value_kw", DoubleType()),
    ("source", StringType()),
    ("known_at_us", LongType()),
)
# Mean power of the hour that begins at event_time, forecast from the data of known_at_us. The
# actual value is filled in later.
_POWER_FORECASTS: Columns = (
    ("event_time", TimestamptzType()),
    ("series", StringType()),
    ("forecast_kw", DoubleType()),
    ("actual_kw", DoubleType()),
    ("model_name", StringType()),
    ("model_version", StringType()),
    ("known_at_us", LongType()),
)
# In place of `event_time_ms`, which the topic has, a time that can be partitioned by day.
_FEATURES = _columns(feature_row.FIELDS, {"event_time_ms": (("event_time", TimestamptzType()),)})
# Daily statistics: `event_time` is the start of their day; they are known from `known_at_us`, the
# start of the next day.
_OF_DAY: Columns = (
    ("event_time", TimestamptzType()),
    ("known_at_us", LongType()),
    ("symbol", StringType()),
)
DAILY_COUNTS = ("trades",)
DAILY_NUMBERS = (
    *("volume", "notional", "buy_share", "open", "high", "low", "close", "vwap", "log_return"),
    *("rv_5m", "tsrv", "bipower", "poc", "value_area_low", "value_area_high", "value_area_width"),
)
_DAILY: Columns = (
    *_OF_DAY,
    *((name, LongType()) for name in DAILY_COUNTS),
    *((name, DoubleType()) for name in DAILY_NUMBERS),
)
_DAILY_VOLATILITY: Columns = (
    *_OF_DAY,
    ("slot", IntegerType()),  # half hour of the day, 0 to 47
    ("trades", LongType()),
    ("volume", DoubleType()),
    ("rv_5m", DoubleType()),
)
_DAILY_PROFILE: Columns = (
    *_OF_DAY,
    ("bucket_low", DoubleType()),
    ("bucket_high", DoubleType()),
    ("trades", LongType()),
    ("volume", DoubleType()),
    ("buy_volume", DoubleType()),
    ("is_poc", BooleanType()),
    ("in_value_area", BooleanType()),
)
_DAILY_CORRELATION: Columns = (
    *_OF_DAY,
    ("other", StringType()),
    ("hayashi_yoshida", DoubleType()),
    ("previous_tick_5m", DoubleType()),
)
# What /predict served, and when, as a time that can be partitioned by day.
_PREDICTIONS = _columns(
    prediction.FIELDS,
    {"served_at_us": (("served_at", TimestamptzType()), ("served_at_us", LongType()))},
)
COLUMNS_OF = {
    SILVER: _TICKS,
    DEAD_LETTER: _DEAD_LETTERS,
    POWER: _POWER,
    GOLD: _FEATURES,
    GOLD_LIVE: _FEATURES,
    PREDICTIONS: _PREDICTIONS,
    POWER_FORECASTS: _POWER_FORECASTS,
    DAILY: _DAILY,
    DAILY_VOLATILITY: _DAILY_VOLATILITY,
    DAILY_PROFILE: _DAILY_PROFILE,
    DAILY_CORRELATION: _DAILY_CORRELATION,
}
# The column whose UTC day is the partition; event_time in all other tables.
TIME_OF = {DEAD_LETTER: "loaded_at", PREDICTIONS: "served_at"}
FEATURE_NAMES = tuple(name for name, _ in _FEATURES)
TICK_NAMES = tuple(name for name, _ in _TICKS)
PREDICTION_NAMES = tuple(name for name, _ in _PREDICTIONS)

# A batch job writes every day and view at once: small row groups, pages and dictionaries keep
# dozens of open Parquet writers of 88 columns inside the heap. With the defaults, two months of
# days exhausted it.
PROPERTIES = {
    "format-version": "2",
    # Flink's default is gzip, which costs several times as much CPU.
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-size-bytes": str(2**20),
    "write.parquet.page-size-bytes": str(64 * 2**10),
    "write.parquet.dict-size-bytes": str(4 * 2**10),
    "write.distribution-mode": "hash",
    "write.metadata.delete-after-commit.enabled": "true",
    "commit.retry.num-retries": "20",
}


def properties(settings: LakehouseSettings) -> dict[str, str]:
    """Properties of every table. Maintenance expires by the settings, other engines by these.

    Every commit rewrites the metadata, and keeps `metadata_versions_max` earlier ones.
    """
    return PROPERTIES | {
        "write.metadata.previous-versions-max": str(settings.metadata_versions_max),
        "history.expire.max-snapshot-age-ms": str(int(settings.snapshot_keep_h * HOUR_US / 1000)),
        "history.expire.min-snapshots-to-keep": str(settings.snapshots_min),
    }


def schema(table: str) -> Schema:
    """Iceberg schema of one table; field ids follow the column order."""
    return Schema(
        *(
            NestedField(i, name, kind, required=False)
            for i, (name, kind) in enumerate(COLUMNS_OF[table], start=1)
        )
    )


def partitions(table: str) -> PartitionSpec:
    """By UTC day of event time (or of the TIME_OF column).

    Features also by view, because every reader needs one view.
    """
    names = [name for name, _ in COLUMNS_OF[table]]
    time_id = names.index(TIME_OF.get(table, "event_time")) + 1
    fields = [PartitionField(time_id, 1000, DayTransform(), "event_day")]
    if "view" in names:
        view_id = names.index("view") + 1
        fields.append(PartitionField(view_id, 1001, IdentityTransform(), "view"))
    return PartitionSpec(*fields)
