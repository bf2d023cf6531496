"""Questions to silver.tick_data that are answered batch by batch, so that memory does not grow with the range."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

import polars as pl
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, EqualTo, In
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow

from contracts.settings import Settings
from feature_store import lakehouse
from feature_store.tables import SILVER, TICK_NAMES, TRADE_KEY

SECOND_US, MINUTE_US = 1_000_000, 60_000_000
FILES_AHEAD, SLICE_TICKS = max(2, os.cpu_count() or 1), 2_000_000
KEY = ("venue", "symbol", "event_time_us")
LATE = (*TRADE_KEY, "event_time_us")


def minutes(settings: Settings, from_us: int, to_us: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
    """Non-empty minutes with their begin in [from, to) µs: key (VENUE:SYMBOL), minute_us and ticks, copies included; sorted."""
    wanted: BooleanExpression = lakehouse.between(from_us, to_us)
    if symbols is not None:
        wanted = And(wanted, _of(symbols))
    found = pl.DataFrame(schema={"key": pl.String, "minute_us": pl.Int64, "ticks": pl.UInt64})
    for batch in _batches(settings, wanted):
        found = _sum(pl.concat([found, _count(batch)]))
    return found if symbols is None else found.filter(pl.col("key").is_in(list(symbols)))


def symbols(settings: Settings) -> list[str]:
    """Every VENUE:SYMBOL that has a tick, sorted."""
    found: set[tuple[str, str]] = set()
    for batch in _batches(settings, AlwaysTrue(), ("venue", "symbol")):
        found |= set(batch.unique().iter_rows())
    return sorted(f"{venue}:{symbol}" for venue, symbol in found)


def first_us(settings: Settings) -> int:
    """Begin of the minute of the oldest tick, µs UTC, from file statistics alone. Raises DatasetError when silver is empty."""
    return lakehouse.time_range(settings)[0] // MINUTE_US * MINUTE_US


def copies(settings: Settings, begins_us: Mapping[str, int], to_us: int) -> pl.DataFrame:
    """Every silver row, copies and late ones too, of each VENUE:SYMBOL from its own begin on and before `to` µs, in no order."""
    wanted = And(lakehouse.between(min(begins_us.values(), default=to_us), to_us), _of(begins_us))
    begin = (pl.col("venue") + ":" + pl.col("symbol")).replace_strict(dict(begins_us), default=None, return_dtype=pl.Int64)
    names = tuple(name for name in TICK_NAMES if name != "event_time")
    parts = [batch.filter(pl.col("event_time_us") >= begin) for batch in _batches(settings, wanted, names)]
    return pl.concat(parts)


def slices(minutes: pl.DataFrame, from_us: int, to_us: int, ticks_max: int = SLICE_TICKS) -> list[tuple[int, int]]:
    """[from, to) µs cut between minutes so that a slice has about `ticks_max` ticks; `minutes` as the function of that name tells them."""
    counted = minutes.group_by("minute_us").agg(pl.col("ticks").sum()).sort("minute_us")
    full = (pl.col("ticks").cum_sum() // ticks_max).diff() > 0
    edges = [from_us, *(us for us in counted.filter(full)["minute_us"] if from_us < us < to_us), to_us]
    return list(pairwise(edges))


def has_copies(
    settings: Settings, parts: Iterable[tuple[int, int]], symbols: Collection[str] | None = None, snapshot: int | None = None
) -> bool:
    """Whether a trade may lie more than once in one of the `parts` [from, to) µs, by digests of 64 bits: surely not when False."""
    whose = AlwaysTrue() if symbols is None else _of(symbols)
    return any(_has_copies(settings, And(lakehouse.between(*part), whose), snapshot) for part in parts)


def _has_copies(settings: Settings, wanted: BooleanExpression, snapshot: int | None) -> bool:
    digest = pl.struct(TRADE_KEY).hash().alias("digest")
    digests = pl.concat(batch.select(digest) for batch in _batches(settings, wanted, TRADE_KEY, snapshot))
    return digests["digest"].n_unique() < digests.height


def late(settings: Settings, from_us: int, to_us: int, symbols: Collection[str] | None = None) -> pl.DataFrame:
    """Ticks in [from, to) µs of which no copy came in time for the live windows: key and event_time_us, one per symbol and second."""
    wanted: BooleanExpression = lakehouse.between(from_us, to_us)
    if symbols is not None:
        wanted = And(wanted, _of(symbols))
    key, second = pl.concat_str("venue", pl.lit(":"), "symbol").alias("key"), pl.col("event_time_us") // SECOND_US * SECOND_US
    parts = [batch.unique() for batch in _batches(settings, And(wanted, EqualTo("late", value=True)), LATE)]
    found = _without_timely(settings, pl.concat(parts).unique()).select(key, second).unique().sort("event_time_us", "key")
    return found if symbols is None else found.filter(pl.col("key").is_in(list(symbols)))


def _without_timely(settings: Settings, found: pl.DataFrame) -> pl.DataFrame:
    """The late ticks but for those that have a copy which came in time; a copy has the same event time."""
    if found.is_empty():
        return found
    span = lakehouse.between(int(found["event_time_us"].min()), int(found["event_time_us"].max()) + 1)  # type: ignore[arg-type]
    timely = And(And(span, EqualTo("late", value=False)), In("symbol", found["symbol"].unique().to_list()))
    for batch in _batches(settings, timely, LATE):
        found = found.join(batch, on=TRADE_KEY, how="anti")
    return found


def _of(symbols: Collection[str]) -> BooleanExpression:
    """Rows of these VENUE:SYMBOLs, and of the same symbols at other venues."""
    return In("symbol", sorted({symbol.partition(":")[2] for symbol in symbols}))


def _batches(
    settings: Settings, wanted: BooleanExpression, fields: tuple[str, ...] = KEY, snapshot: int | None = None
) -> Iterator[pl.DataFrame]:
    """What a scan finds, part by part; the first one is empty, and has its columns and types.

    A few files at a time: a reader of PyIceberg keeps what it has read ahead, which would be all of them.
    """
    scan = lakehouse.catalog(settings).load_table(SILVER).scan(row_filter=wanted, selected_fields=fields, snapshot_id=snapshot)
    found = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    files = list(scan.plan_files())
    parts = chain.from_iterable(found.to_record_batches(files[at : at + FILES_AHEAD]) for at in range(0, len(files), FILES_AHEAD))
    for part in chain((schema_to_pyarrow(scan.projection()).empty_table(),), parts):
        frame = pl.from_arrow(part)
        assert isinstance(frame, pl.DataFrame)
        yield frame


def _count(batch: pl.DataFrame) -> pl.DataFrame:
    minute = (pl.col("event_time_us") // MINUTE_US * MINUTE_US).alias("minute_us")
    counted = batch.group_by("venue", "symbol", minute).agg(pl.len().cast(pl.UInt64).alias("ticks"))
    return counted.select(pl.concat_str("venue", pl.lit(":"), "symbol").alias("key"), "minute_us", "ticks")


def _sum(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.group_by("key", "minute_us").agg(pl.col("ticks").sum()).sort("key", "minute_us")
