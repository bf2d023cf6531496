"""Scans of silver.tick_data with a streaming engine: memory does not grow with the range."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl

from contracts.durations import MINUTE_US, SECOND_US
from contracts.tick import TRADE_KEY
from lakehouse.schemas import SILVER, TICK_NAMES
from lakehouse.tables import SYMBOL_KEY, Lakehouse

# Let PyIceberg plan the scan, as everywhere in this project; otherwise polars recommends one of its
# packages at every scan.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")

SLICE_TICKS = 1_000_000
LATE_TICK_COLUMNS = (*TRADE_KEY, "event_time_us")


def minutes(
    lake: Lakehouse, from_us: int, to_us: int, symbols: Sequence[str] | None = None
) -> pl.DataFrame:
    """Non-empty minutes that begin in [from, to) µs, sorted: key (VENUE:SYMBOL), minute_us and
    ticks.

    `ticks` counts duplicates too.
    """
    minute = (pl.col("event_time_us") // MINUTE_US * MINUTE_US).alias("minute_us")
    counted = (
        _ticks(lake, from_us, to_us, symbols)
        .group_by("venue", "symbol", minute)
        .agg(pl.len().cast(pl.UInt64).alias("ticks"))
    )
    return _collect(
        _only(counted.select(SYMBOL_KEY, "minute_us", "ticks"), symbols).sort("key", "minute_us")
    )


def symbols(lake: Lakehouse) -> list[str]:
    """Every VENUE:SYMBOL with a tick, sorted."""
    return (
        _collect(_silver(lake).select("venue", "symbol").unique().select(SYMBOL_KEY))["key"]
        .sort()
        .to_list()
    )


def first_us(lake: Lakehouse) -> int:
    """Begin of the minute of the oldest tick, µs UTC, from file statistics alone.

    Raises DatasetError when silver is empty.
    """
    return lake.time_range()[0] // MINUTE_US * MINUTE_US


def read_all(lake: Lakehouse, begins_us: Mapping[str, int], to_us: int) -> pl.DataFrame:
    """Every silver row, also duplicates and late ones, of each symbol from its begin until `to`
    µs.

    `begins_us` has the begin of each VENUE:SYMBOL. The rows are in no particular order.
    """
    begin = SYMBOL_KEY.replace_strict(dict(begins_us), default=None, return_dtype=pl.Int64)
    ticks = _ticks(lake, min(begins_us.values(), default=to_us), to_us, begins_us)
    return _collect(
        ticks.filter(pl.col("event_time_us") >= begin).select(
            name for name in TICK_NAMES if name != "event_time"
        )
    )


def slices(
    minutes: pl.DataFrame, from_us: int, to_us: int, ticks_max: int = SLICE_TICKS
) -> list[tuple[int, int]]:
    """[from, to) µs cut between minutes so that a slice has about `ticks_max` ticks.

    `minutes` is the result of `minutes()`.
    """
    counted = minutes.group_by("minute_us").agg(pl.col("ticks").sum()).sort("minute_us")
    full = (pl.col("ticks").cum_sum() // ticks_max).diff() > 0
    edges = [
        from_us,
        *(us for us in counted.filter(full)["minute_us"] if from_us < us < to_us),
        to_us,
    ]
    return list(pairwise(edges))


def has_duplicates(
    lake: Lakehouse,
    parts: Iterable[tuple[int, int]],
    symbols: Collection[str] | None = None,
    snapshot: int | None = None,
) -> bool:
    """Whether a trade may occur more than once in one of the `parts` [from, to) µs.

    Compares 64-bit digests: False is certain, True may be a collision.
    """
    return any(_has_duplicates(_ticks(lake, *part, symbols, snapshot)) for part in parts)


def _has_duplicates(ticks: pl.LazyFrame) -> bool:
    digests = _collect(ticks.select(digest=pl.struct(TRADE_KEY).hash()))["digest"]
    return digests.n_unique() < digests.len()


def late(
    lake: Lakehouse, from_us: int, to_us: int, symbols: Collection[str] | None = None
) -> pl.DataFrame:
    """Ticks in [from, to) µs of which no copy came in time for the live windows.

    One row per symbol and second: key and event_time_us.
    """
    late_ticks = _collect(
        _ticks(lake, from_us, to_us, symbols)
        .filter(pl.col("late"))
        .select(LATE_TICK_COLUMNS)
        .unique()
    )
    second = pl.col("event_time_us") // SECOND_US * SECOND_US
    seconds = (
        _without_timely(lake, late_ticks)
        .select(SYMBOL_KEY, second)
        .unique()
        .sort("event_time_us", "key")
    )
    return _only(seconds.lazy(), symbols).collect()


def _without_timely(lake: Lakehouse, late_ticks: pl.DataFrame) -> pl.DataFrame:
    """The late ticks without those of which a copy came in time.

    Both duplicates have the same event time, which the live job stores in milliseconds.
    """
    if late_ticks.is_empty():
        return late_ticks
    first_us, last_us = late_ticks.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    same_symbols = pl.col("symbol").is_in(late_ticks["symbol"].unique().to_list())
    timely = (
        _between(_silver(lake), first_us // 1000 * 1000, last_us + 1)
        .filter(same_symbols, ~pl.col("late"))
        .select(LATE_TICK_COLUMNS)
    )
    return _collect(late_ticks.lazy().join(timely, on=TRADE_KEY, how="anti"))


def _ticks(
    lake: Lakehouse,
    from_us: int,
    to_us: int,
    symbols: Collection[str] | None = None,
    snapshot: int | None = None,
) -> pl.LazyFrame:
    """Rows in [from, to) µs of these VENUE:SYMBOLs, and of the same symbols at other venues.

    `snapshot` pins the read.
    """
    ticks = _between(_silver(lake, snapshot), from_us, to_us)
    return (
        ticks
        if symbols is None
        else ticks.filter(
            pl.col("symbol").is_in(sorted({symbol.partition(":")[2] for symbol in symbols}))
        )
    )


def _silver(lake: Lakehouse, snapshot: int | None = None) -> pl.LazyFrame:
    """The table as a polars scan. Polars reads the files itself, so it gets the object store's
    keys.

    The catalog's secrets are not passed on.
    """
    table = lake.table(SILVER)
    store = {name: value for name, value in table.io.properties.items() if name.startswith("s3.")}
    return pl.scan_iceberg(table, snapshot_id=snapshot, storage_options=store or None)


def _between(ticks: pl.LazyFrame, from_us: int, to_us: int) -> pl.LazyFrame:
    begin, end = (datetime.fromtimestamp(us / 1e6, UTC) for us in (from_us, to_us))
    return ticks.filter(pl.col("event_time") >= begin, pl.col("event_time") < end)


def _only(keyed: pl.LazyFrame, symbols: Collection[str] | None) -> pl.LazyFrame:
    return keyed if symbols is None else keyed.filter(pl.col("key").is_in(list(symbols)))


def _collect(query: pl.LazyFrame) -> pl.DataFrame:
    return query.collect(engine="streaming")
