"""The dataset out of real Iceberg tables equals the one built in memory, and names the snapshots it came from."""

import numpy as np
import polars as pl
import pytest
from market import T0, S, feature_rows, ticks
from pyiceberg.io.pyarrow import schema_to_pyarrow

from contracts.errors import DatasetError
from contracts.settings import Settings
from feature_store import lakehouse
from feature_store.tables import GOLD, SILVER
from training import datasets

# The tables carry a property that only Flink's writer knows.
pytestmark = pytest.mark.filterwarnings("ignore:Parquet writer option:UserWarning")
TO_US = T0 + 1800 * S


@pytest.fixture
def settings(tmp_path):
    """A lakehouse with nothing in it."""
    return Settings(home=tmp_path)


def market():
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(0, 3600, 720))
    return ticks(times, 100 + rng.standard_normal(len(times)).cumsum() * 0.01)


def store(settings, made, views):
    """Write ticks (each twice, as a replay after a crash might) and feature rows as the jobs do."""
    lakehouse.create(settings)
    name = pl.col("key").str.split(":")
    nothing = [pl.lit(None, dtype=pl.Float64).alias(column) for column in ("bid", "ask", "bid_size", "ask_size")]
    columns = [name.list.get(0).alias("venue"), name.list.get(1).alias("symbol"), pl.col("event_time_us").alias("ingest_time_us")]
    columns += [
        pl.lit(1.0).alias("size"),
        pl.lit(1, dtype=pl.Int32).alias("side"),
        pl.col("seq").cast(pl.String).alias("trade_id"),
        *nothing,
    ]
    for _ in range(2):
        lakehouse.append_ticks(settings, made.with_columns(columns).drop("key"))
    table = lakehouse.catalog(settings).load_table(GOLD)
    time = pl.from_epoch("event_time_us", time_unit="us").dt.replace_time_zone("UTC").alias("event_time")
    rows = [frame.with_columns(pl.lit(view).alias("view"), time, pl.lit(3600).alias("warm_s")) for view, frame in views.items()]
    arrow = pl.concat(rows, how="diagonal")
    target = schema_to_pyarrow(table.schema(), include_field_ids=False)
    table.append(arrow.select(target.names).to_arrow().cast(target))


def test_what_is_loaded_is_what_would_be_built_in_memory(settings):
    views = feature_rows(np.arange(1, 1800, 10))
    store(settings, market(), views)
    loaded = datasets.load(settings, T0, TO_US)
    built = datasets.build(market(), views, T0, TO_US, settings)
    assert loaded.frame.equals(built.frame)
    assert (loaded.fingerprint, loaded.dropped) == (built.fingerprint, built.dropped)
    assert loaded.frame["exit_us"].max() > TO_US - 60 * S  # the last label reads ticks after the range
    current = lakehouse.snapshot_ids(settings)
    assert loaded.snapshots == current
    assert current[SILVER] is not None


def test_an_empty_lakehouse_is_a_clear_error(settings):
    with pytest.raises(DatasetError, match="no ticks"):
        datasets.load(settings, T0, TO_US)


def test_ticks_without_features_are_a_clear_error(settings):
    store(settings, market(), {view: frame.head(1) for view, frame in feature_rows([-4000]).items()})
    with pytest.raises(DatasetError, match="no_row:tick_1s"):
        datasets.load(settings, T0, TO_US)
