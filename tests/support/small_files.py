"""A lakehouse with many small files, and what it contains: rows, files, tables."""

from pathlib import Path

import polars as pl
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts.config.settings import Settings
from lakehouse import tables
from lakehouse.maintenance.compaction import CompactionRule
from lakehouse.schemas import FEATURE_NAMES, GOLD, SILVER
from lakehouse.tables import Lakehouse

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
LATER_US = 4_000_000_000_000_000  # a time at which everything written today is old
VIEWS = ("tick_1s", "tick_1m")
# Partitions with more than two files, whatever their age.
RULE = CompactionRule(files_max=2, group_bytes=2**20)


def ticks(number: int, day: int = 0) -> pl.DataFrame:
    """Ten ticks; `number` makes their ids and times different."""
    return pl.DataFrame(
        {
            "venue": "V",
            "symbol": "S",
            "event_time_us": [START_US + day * DAY_US + number * 1_000_000 + i for i in range(10)],
            "ingest_time_us": START_US,
            "price": 1.5,
            "size": 2.0,
            "side": pl.Series([1] * 10, dtype=pl.Int32),
            "trade_id": [f"{number}-{day}-{i}" for i in range(10)],
            "seq": list(range(10)),
            **{
                name: pl.Series([None] * 10, dtype=pl.Float64)
                for name in ("bid", "ask", "bid_size", "ask_size")
            },
        }
    )


def append_features(lake: Settings, number: int, day: int) -> None:
    """One row per view."""
    rows = [
        {name: None for name in FEATURE_NAMES}
        | {
            "view": view,
            "symbol": "V:S",
            "event_time": START_US + day * DAY_US + number,
            "known_at_us": number,
            "warm_s": 1,
        }
        for view in VIEWS
    ]
    table = Lakehouse(lake).table(GOLD)
    times = pl.from_epoch("event_time", time_unit="us").dt.replace_time_zone("UTC")
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(times)
    with tables.ignore_row_group_warning():
        table.append(
            frame.to_arrow().cast(schema_to_pyarrow(table.schema(), include_field_ids=False))
        )


def table(lake: Settings, name: str = SILVER):
    return Lakehouse(lake).table(name)


def rows(lake: Settings, name: str = SILVER, snapshot_id: int | None = None) -> list[dict]:
    stored_rows = table(lake, name).scan(snapshot_id=snapshot_id).to_arrow().to_pylist()
    return sorted(stored_rows, key=repr)


def files(lake: Settings, name: str = SILVER) -> set[Path]:
    return {path for path in (lake.warehouse / Path(*name.split("."))).rglob("*") if path.is_file()}


def data_files(lake: Settings, name: str = SILVER) -> set[Path]:
    return {path for path in files(lake, name) if path.suffix == ".parquet"}


def crowd(lake: Settings) -> None:
    """Three files in each of two days."""
    for number in range(3):
        for day in (0, 1):
            Lakehouse(lake).append_ticks(ticks(number, day))
