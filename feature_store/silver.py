"""Questions to silver.tick_data that are answered batch by batch, so that memory does not grow with the range."""

from collections.abc import Iterator, Sequence

import polars as pl
from pyiceberg.expressions import And, BooleanExpression, In

from contracts.settings import Settings
from feature_store import lakehouse
from feature_store.tables import SILVER

MINUTE_US = 60_000_000


def minutes(settings: Settings, from_us: int, to_us: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
    """Non-empty minutes with their begin in [from, to) µs: key (VENUE:SYMBOL), minute_us and ticks, copies included; sorted."""
    wanted: BooleanExpression = lakehouse.between(from_us, to_us)
    if symbols is not None:
        wanted = And(wanted, In("symbol", sorted({symbol.partition(":")[2] for symbol in symbols})))
    found = pl.DataFrame(schema={"key": pl.String, "minute_us": pl.Int64, "ticks": pl.UInt64})
    for batch in _batches(settings, wanted):
        found = _sum(pl.concat([found, _count(batch)]))
    return found if symbols is None else found.filter(pl.col("key").is_in(list(symbols)))


def symbols(settings: Settings) -> list[str]:
    """Every VENUE:SYMBOL that has a tick, sorted."""
    table = lakehouse.catalog(settings).load_table(SILVER)
    found: set[tuple[str, str]] = set()
    for batch in table.scan(selected_fields=("venue", "symbol")).to_arrow_batch_reader():
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        found |= set(frame.unique().iter_rows())
    return sorted(f"{venue}:{symbol}" for venue, symbol in found)


def first_us(settings: Settings) -> int:
    """Begin of the minute of the oldest tick, µs UTC, from file statistics alone. Raises DatasetError when silver is empty."""
    return lakehouse.time_range(settings)[0] // MINUTE_US * MINUTE_US


def _batches(settings: Settings, wanted: BooleanExpression) -> Iterator[pl.DataFrame]:
    scan = lakehouse.catalog(settings).load_table(SILVER).scan(row_filter=wanted, selected_fields=("venue", "symbol", "event_time_us"))
    for batch in scan.to_arrow_batch_reader():
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame


def _count(batch: pl.DataFrame) -> pl.DataFrame:
    minute = (pl.col("event_time_us") // MINUTE_US * MINUTE_US).alias("minute_us")
    counted = batch.group_by("venue", "symbol", minute).agg(pl.len().cast(pl.UInt64).alias("ticks"))
    return counted.select(pl.concat_str("venue", pl.lit(":"), "symbol").alias("key"), "minute_us", "ticks")


def _sum(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.group_by("key", "minute_us").agg(pl.col("ticks").sum()).sort("key", "minute_us")
