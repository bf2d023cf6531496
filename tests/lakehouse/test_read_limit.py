"""Reads into memory: refused by the manifests alone beyond the limit, and only what is needed."""

import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.io.pyarrow import ArrowScan

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.tick import TRADE_KEY
from contracts.windows import LEVELS
from feature_store.backfill.chunks import Chunk
from feature_store.parity import served
from lakehouse.read_limit import estimate_rows
from lakehouse.schemas import GOLD, PREDICTIONS, SILVER
from lakehouse.tables import Lakehouse, between
from tests.support import parity_tables
from tests.support.parity_tables import DAY, START, A, B
from training.monitoring import champion_challenger
from training.tick.data.dataset import read_dataset

# The tables carry a property that only Flink's writer knows.
pytestmark = pytest.mark.filterwarnings("ignore:Parquet writer option:UserWarning")
ROWS_MAX = 1000  # the least that the setting allows


@pytest.fixture(scope="module")
def market():
    return parity_tables.ticks()


@pytest.fixture(scope="module")
def settings(tmp_path_factory, market) -> Settings:
    """Two days of silver, one file each."""
    settings = Settings(home=tmp_path_factory.mktemp("bounded"))
    lake = Lakehouse(settings)
    lake.create()
    for day in (0, 1):
        lake.append_ticks(market.with_columns(pl.col("event_time_us") + day * DAY))
    return settings


@pytest.fixture
def limited(settings):
    return settings.model_copy(update={"read_rows_max": ROWS_MAX})


@pytest.fixture
def opened(monkeypatch):
    """The columns of each scan that opens data files."""
    scans, to_table = [], ArrowScan.to_table
    monkeypatch.setattr(
        ArrowScan,
        "to_table",
        lambda scan, tasks: (
            scans.append({field.name for field in scan._projected_schema.fields})
            or to_table(scan, tasks)
        ),
    )
    return scans


def test_the_estimate_is_the_rows_of_the_files_in_the_range(settings, market):
    table = Lakehouse(settings).table(SILVER)
    estimates = [
        estimate_rows(table.scan(row_filter=between(START, START + days * DAY))) for days in (1, 2)
    ]
    assert estimates == [len(market), 2 * len(market)]
    assert estimate_rows(table.scan(row_filter=between(START - DAY, START))) == 0


def test_a_range_beyond_the_limit_is_refused_before_a_file_is_opened(limited, market, opened):
    assert len(market) > ROWS_MAX
    with pytest.raises(DatasetError, match=f"{SILVER} have {2 * len(market):,} rows") as error:
        Lakehouse(limited).read_ticks(START, START + 2 * DAY)
    assert "--from" in error.value.hint and "TICK_READ_ROWS_MAX" in error.value.hint
    assert opened == []


def test_a_range_at_the_limit_is_read(settings, market):
    exact = settings.model_copy(update={"read_rows_max": len(market)})
    assert not Lakehouse(exact).read_ticks(START, START + DAY).is_empty()
    with pytest.raises(DatasetError):
        Lakehouse(exact).read_ticks(START, START + 2 * DAY)


def test_only_the_named_columns_and_symbols_are_read(settings, opened):
    lake = Lakehouse(settings)
    ticks = lake.read_ticks(START, START + DAY, [A], None, ("price",))
    assert opened == [{*TRADE_KEY, "event_time_us", "seq", "late", "price"}]
    assert ticks["key"].unique().to_list() == [A]
    everything = lake.read_ticks(START, START + DAY)
    assert ticks.equals(everything.filter(pl.col("key") == A).select(ticks.columns))
    assert set(everything["key"]) >= {A, B}


def test_without_symbols_the_result_is_empty(settings):
    assert Lakehouse(settings).read_ticks(START, START + DAY, []).is_empty()


def test_features_of_a_training_set_are_its_columns_alone(settings):
    level = LEVELS[0]
    frame = Lakehouse(settings).read_features(level.view, START, START + DAY, names=())
    assert frame.columns == ["symbol", "known_at_us", "warm_s", "event_time_us"]


def test_a_training_set_beyond_the_limit_is_refused(limited, opened):
    pinned = Lakehouse(limited).snapshot_ids() | {GOLD: 1}  # silver is read first
    with pytest.raises(DatasetError, match="at most 1,000 are read into memory"):
        read_dataset(limited, START, START + DAY, pinned)
    assert opened == []


def test_a_comparison_and_parity_of_too_many_predictions_are_refused(limited, settings):
    table = Lakehouse(settings).table(PREDICTIONS)
    schema = table.schema().as_arrow()
    served_at = pa.array([START + at for at in range(ROWS_MAX + 1)], pa.timestamp("us", "UTC"))
    given = {
        "served_at": served_at,
        "model_name": pa.array([settings.model_name] * len(served_at)),
        "model_version": pa.array(["1"] * len(served_at)),
    }
    columns = {
        field.name: given.get(field.name, pa.nulls(len(served_at), field.type)) for field in schema
    }
    table.append(pa.table(columns, schema=schema))
    with pytest.raises(DatasetError, match=PREDICTIONS):
        champion_challenger._read_predictions(limited, START, START + DAY, ("1", "2"))
    with pytest.raises(DatasetError, match=PREDICTIONS):
        served._read(Lakehouse(limited), Chunk(START, START + DAY))
    assert len(served._read(Lakehouse(settings), Chunk(START, START + DAY))) == ROWS_MAX + 1
