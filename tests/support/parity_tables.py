"""A small lakehouse for the parity meter: real Iceberg tables, features by the reference.

Rows are written as the jobs would write them.
"""

import json

import numpy as np
import polars as pl
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts import prediction
from contracts.config.settings import Settings
from contracts.fields import Kind, names
from contracts.tick import Tick
from feature_store.definition import reference
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE, PREDICTIONS, SILVER
from lakehouse.tables import Lakehouse

S = 1_000_000
DAY = 86_400 * S
START = 1_711_756_800 * S  # 2024-03-30T00:00Z
LENGTH_S = 4200
A, B = "V:A", "V:B"
Views = dict[str, pl.DataFrame]


def ticks(
    symbols: tuple[str, ...] = (A, B), seed: int = 1, count: int = 500, start_us: int = START
) -> pl.DataFrame:
    """Seventy minutes of trades per symbol; every tenth is sent twice."""
    rng, market = np.random.default_rng(seed), []
    for symbol in symbols:
        venue, _, name = symbol.partition(":")
        times = np.sort(rng.integers(0, LENGTH_S * S, count)) + start_us
        prices = np.round(100 * np.exp(rng.normal(0, 1e-4, count).cumsum()), 4)
        for i, (time_us, price) in enumerate(zip(times.tolist(), prices.tolist(), strict=True)):
            size, side = round(float(rng.uniform(0.1, 3)), 3), int(rng.integers(-1, 2))
            tick = Tick(venue, name, time_us, time_us + 700, price, size, side, f"{name}{i}", i)
            market += [tick] * (2 if i % 10 == 0 else 1)
    return pl.DataFrame(market, list(Tick._fields), orient="row", infer_schema_length=None)


def moved(views: Views, by_us: int) -> Views:
    """The same rows, shifted in time."""
    return {
        view: frame.with_columns(pl.col("event_time_us", "known_at_us") + by_us)
        for view, frame in views.items()
    }


def changed(views: Views, view: str, at: int, **values: object) -> Views:
    """The same rows with other values in row `at` of one view."""
    row = pl.int_range(pl.len()) == at
    put = [
        pl.when(row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    ]
    return views | {view: views[view].with_columns(put)}


def only(views: Views, condition: pl.Expr) -> Views:
    return {view: frame.filter(condition) for view, frame in views.items()}


def put(settings: Settings, table: str, frame: pl.DataFrame) -> None:
    stored = Lakehouse(settings).table(table)
    target = schema_to_pyarrow(stored.schema(), include_field_ids=False)
    missing = [pl.lit(None).alias(name) for name in target.names if name not in frame.columns]
    tables.append(stored, frame.with_columns(missing).select(target.names).to_arrow().cast(target))


def put_nothing(settings: Settings, table: str) -> None:
    """A snapshot without files, as Flink sometimes commits when there were no rows."""
    stored = Lakehouse(settings).table(table)
    tables.append(stored, schema_to_pyarrow(stored.schema(), include_field_ids=False).empty_table())
    assert stored.refresh().current_snapshot().manifests(stored.io) == []


def utc(name: str) -> pl.Expr:
    return pl.from_epoch(name, time_unit="us").dt.replace_time_zone("UTC")


def put_features(settings: Settings, table: str, views: Views) -> None:
    frames = [
        frame.with_columns(view=pl.lit(view), event_time=utc("event_time_us"))
        for view, frame in views.items()
    ]
    put(settings, table, pl.concat(frames, how="diagonal"))


def put_both(settings: Settings, live: Views, batch: Views) -> None:
    put_features(settings, GOLD_LIVE, live)
    put_features(settings, GOLD, batch)


def put_ticks(settings: Settings, market: pl.DataFrame, late: pl.Expr | None = None) -> None:
    put(
        settings,
        SILVER,
        market.with_columns(
            event_time=utc("event_time_us"), late=pl.lit(value=False) if late is None else late
        ),
    )


def put_served(settings: Settings, records: list[dict]) -> None:
    """Records as /predict sends them."""
    maps = names(prediction.FIELDS, Kind.OBJECT)
    rows = [
        record
        | {name: json.dumps(record[name]) for name in maps if isinstance(record.get(name), dict)}
        for record in records
    ]
    put(
        settings,
        PREDICTIONS,
        pl.DataFrame(rows, infer_schema_length=None).with_columns(served_at=utc("served_at_us")),
    )


def features(market: pl.DataFrame) -> Views:
    return reference.features(market)
