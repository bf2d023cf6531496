"""A small market in real Iceberg tables, written as the jobs write them."""

import numpy as np
import polars as pl
from pyiceberg.io.pyarrow import schema_to_pyarrow

from lakehouse.schemas import GOLD
from lakehouse.tables import Lakehouse
from tests.support.market import T0, S, ticks

TO_US = T0 + 1800 * S


def market():
    """An hour of ticks of one symbol, on average one every five seconds."""
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(0, 3600, 720))
    return ticks(times, 100 + rng.standard_normal(len(times)).cumsum() * 0.01)


def store(settings, ticks_, views):
    """Write ticks (each twice, as a replay after a crash might) and feature rows as the jobs do."""
    Lakehouse(settings).create()
    name = pl.col("key").str.split(":")
    nothing = [
        pl.lit(None, dtype=pl.Float64).alias(column)
        for column in ("bid", "ask", "bid_size", "ask_size")
    ]
    columns = [
        name.list.get(0).alias("venue"),
        name.list.get(1).alias("symbol"),
        pl.col("event_time_us").alias("ingest_time_us"),
    ]
    columns += [
        pl.lit(1.0).alias("size"),
        pl.lit(1, dtype=pl.Int32).alias("side"),
        pl.col("seq").cast(pl.String).alias("trade_id"),
        *nothing,
    ]
    for _ in range(2):
        Lakehouse(settings).append_ticks(ticks_.with_columns(columns).drop("key"))
    table = Lakehouse(settings).table(GOLD)
    time = (
        pl.from_epoch("event_time_us", time_unit="us")
        .dt.replace_time_zone("UTC")
        .alias("event_time")
    )
    rows = [
        frame.with_columns(pl.lit(view).alias("view"), time, pl.lit(3600).alias("warm_s"))
        for view, frame in views.items()
    ]
    arrow = pl.concat(rows, how="diagonal")
    target = schema_to_pyarrow(table.schema(), include_field_ids=False)
    table.append(arrow.select(target.names).to_arrow().cast(target))
