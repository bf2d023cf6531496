"""Questions to silver.tick_data, answered by a streaming engine: memory does not grow with the
range.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl

from contracts.config.settings import Settings
from lakehouse import tables
from lakehouse.schemas import SILVER, TICK_NAMES, TRADE_KEY

# PyIceberg plans, as everywhere here: else polars recommends a package of its own at every scan.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")

SECOND_US, MINUTE_US = 1_000_000, 60_000_000
SLICE_TICKS = 1_000_000
LATE = (*TRADE_KEY, "event_time_us")
KEY = pl.concat_str("venue", pl.lit(":"), "symbol").alias("key")


def minutes(
    settings: Settings, from_us: int, to_us: int, symbols: Sequence[str] | None = None
) -> pl.DataFrame:
    """Non-empty minutes with their begin in [from, to) µs: key (VENUE:SYMBOL), minute_us and ticks,
    copies included; sorted.
    """
    minute = (pl.col("event_time_us") // MINUTE_US * MINUTE_US).alias("minute_us")
    counted = (
        _ticks(settings, from_us, to_us, symbols)
        .group_by("venue", "symbol", minute)
        .agg(pl.len().cast(pl.UInt64).alias("ticks"))
    )
    return _collect(
        _only(counted.select(KEY, "minute_us", "ticks"), symbols).sort("key", "minute_us")
    )


def symbols(settings: Settings) -> list[str]:
    """Every VENUE:SYMBOL that has a tick, sorted."""
    return (
        _collect(_silver(settings).select("venue", "symbol").unique().select(KEY))["key"]
        .sort()
        .to_list()
    )


def first_us(settings: Settings) -> int:
    """Begin of the minute of the oldest tick, µs UTC, from file statistics alone. Raises
    DatasetError when silver is empty.
    """
    return tables.time_range(settings)[0] // MINUTE_US * MINUTE_US


def copies(settings: Settings, begins_us: Mapping[str, int], to_us: int) -> pl.DataFrame:
    """Every silver row, copies and late ones too, of each VENUE:SYMBOL from its own begin on and
    before `to` µs, in no order.
    """
    begin = KEY.replace_strict(dict(begins_us), default=None, return_dtype=pl.Int64)
    ticks = _ticks(settings, min(begins_us.values(), default=to_us), to_us, begins_us)
    return _collect(
        ticks.filter(pl.col("event_time_us") >= begin).select(
            name for name in TICK_NAMES if name != "event_time"
        )
    )


def slices(
    minutes: pl.DataFrame, from_us: int, to_us: int, ticks_max: int = SLICE_TICKS
) -> list[tuple[int, int]]:
    """[from, to) µs cut between minutes so that a slice has about `ticks_max` ticks; `minutes` as
    the function of that name tells them.
    """
    counted = minutes.group_by("minute_us").agg(pl.col("ticks").sum()).sort("minute_us")
    full = (pl.col("ticks").cum_sum() // ticks_max).diff() > 0
    edges = [
        from_us,
        *(us for us in counted.filter(full)["minute_us"] if from_us < us < to_us),
        to_us,
    ]
    return list(pairwise(edges))


def has_copies(
    settings: Settings,
    parts: Iterable[tuple[int, int]],
    symbols: Collection[str] | None = None,
    snapshot: int | None = None,
) -> bool:
    """Whether a trade may lie more than once in one of the `parts` [from, to) µs, by digests of 64
    bits: surely not when False.
    """
    return any(_has_copies(_ticks(settings, *part, symbols, snapshot)) for part in parts)


def _has_copies(ticks: pl.LazyFrame) -> bool:
    digests = _collect(ticks.select(digest=pl.struct(TRADE_KEY).hash()))["digest"]
    return digests.n_unique() < digests.len()


def late(
    settings: Settings, from_us: int, to_us: int, symbols: Collection[str] | None = None
) -> pl.DataFrame:
    """Ticks in [from, to) µs of which no copy came in time for the live windows: key and
    event_time_us, one per symbol and second.
    """
    found = _collect(
        _ticks(settings, from_us, to_us, symbols).filter(pl.col("late")).select(LATE).unique()
    )
    second = pl.col("event_time_us") // SECOND_US * SECOND_US
    untimely = (
        _without_timely(settings, found).select(KEY, second).unique().sort("event_time_us", "key")
    )
    return _only(untimely.lazy(), symbols).collect()


def _without_timely(settings: Settings, found: pl.DataFrame) -> pl.DataFrame:
    """The late ticks without those of which a copy came in time; both have one event time, which
    the live job stores in milliseconds.
    """
    if found.is_empty():
        return found
    first_us, last_us = found.select(
        first=pl.col("event_time_us").min(), last=pl.col("event_time_us").max()
    ).row(0)
    among = pl.col("symbol").is_in(found["symbol"].unique().to_list())
    timely = (
        _between(_silver(settings), first_us // 1000 * 1000, last_us + 1)
        .filter(among, ~pl.col("late"))
        .select(LATE)
    )
    return _collect(found.lazy().join(timely, on=TRADE_KEY, how="anti"))


def _ticks(
    settings: Settings,
    from_us: int,
    to_us: int,
    symbols: Collection[str] | None = None,
    snapshot: int | None = None,
) -> pl.LazyFrame:
    """Rows in [from, to) µs, of these VENUE:SYMBOLs and of the same symbols at other venues; a
    snapshot pins them.
    """
    ticks = _between(_silver(settings, snapshot), from_us, to_us)
    return (
        ticks
        if symbols is None
        else ticks.filter(
            pl.col("symbol").is_in(sorted({symbol.partition(":")[2] for symbol in symbols}))
        )
    )


def _silver(settings: Settings, snapshot: int | None = None) -> pl.LazyFrame:
    """The table for polars, which has a reader of its own. It gets the object store's keys, and
    none of the catalog's.
    """
    table = tables.catalog(settings).load_table(SILVER)
    store = {name: value for name, value in table.io.properties.items() if name.startswith("s3.")}
    return pl.scan_iceberg(table, snapshot_id=snapshot, storage_options=store or None)


def _between(ticks: pl.LazyFrame, from_us: int, to_us: int) -> pl.LazyFrame:
    begin, end = (datetime.fromtimestamp(us / 1e6, UTC) for us in (from_us, to_us))
    return ticks.filter(pl.col("event_time") >= begin, pl.col("event_time") < end)


def _only(keyed: pl.LazyFrame, symbols: Collection[str] | None) -> pl.LazyFrame:
    return keyed if symbols is None else keyed.filter(pl.col("key").is_in(list(symbols)))


def _collect(asked: pl.LazyFrame) -> pl.DataFrame:
    return asked.collect(engine="streaming")
