"""Our as-of join gives what Feast's `get_historical_features` gives on a small set; Feast's own is
too slow for a large one.
"""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.features import CORE, columns
from contracts.windows import LEVELS
from feature_store.feast_repo import objects as feast_objects
from tests.support.market import T0, S
from training.tick.data import dataset

pytestmark = pytest.mark.filterwarnings("ignore")  # Feast, dask and pandas warn of each other
SYMBOLS = ("SYNTH:AAAUSD", "SYNTH:BBBUSD")
AGE_S = 300


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Feast joins within the TTL of a view, we within `stale_s`: here they are the same."""
    return Settings(home=tmp_path_factory.mktemp("feast"), redis_ttl_s=AGE_S, stale_s=AGE_S)


@pytest.fixture(scope="module")
def history():
    """Rows of every view at random times, with a long silence and nulls, symbols interleaved."""
    rng = np.random.default_rng(8)
    views = {}
    for level in LEVELS:
        parts = []
        for symbol in SYMBOLS:
            ends = np.sort(
                rng.choice(
                    np.arange(0, 3600, level.tile_s), 3600 // level.tile_s // 3, replace=False
                )
            )
            ends = ends[(ends < 1200) | (ends > 1900)]
            names = [column.name for column in columns(level)]
            values = {
                name: pl.Series(rng.standard_normal(len(ends))).set(
                    pl.Series(rng.random(len(ends)) < 0.1), None
                )
                for name in names
            }
            times = T0 + ends * S
            parts.append(
                pl.DataFrame(
                    {
                        "symbol": [symbol] * len(ends),
                        "event_time_us": times,
                        "known_at_us": times,
                        "warm_s": 3600,
                        **values,
                    }
                )
            )
        views[level.view] = pl.concat(parts)
    return views


@pytest.fixture(scope="module")
def decided():
    """Decisions of every symbol, on and off the rows' own times, before the first row and after the
    last.
    """
    return pl.DataFrame({"decision_us": T0 + np.arange(-60, 4200, 45) * S})


@pytest.fixture(scope="module")
def from_feast(settings, history, decided):
    """Feast's answer, sorted by symbol and time."""
    feast_objects.write_yaml(settings)
    for view, frame in history.items():
        time = (
            pl.from_epoch("event_time_us", time_unit="us")
            .dt.replace_time_zone("UTC")
            .alias("event_timestamp")
        )
        frame.with_columns(time).drop("event_time_us").write_parquet(
            feast_objects.offline_file(settings, view)
        )
    feast_objects.apply(settings)
    times = pd.to_datetime(decided["decision_us"].to_numpy(), unit="us", utc=True)
    entities = pd.concat(
        pd.DataFrame({"symbol": symbol, "event_timestamp": times}) for symbol in SYMBOLS
    )
    store = feast_objects.store(settings)
    answer = store.get_historical_features(
        entities, features=store.get_feature_service(feast_objects.SERVICE)
    ).to_df()
    return answer.sort_values(["symbol", "event_timestamp"])


def test_every_core_feature_of_every_decision_is_feasts(settings, history, decided, from_feast):
    """Feast leaves out a decision with no usable row in some view altogether: those we name
    `no_row`, and drop.
    """
    for symbol in SYMBOLS:
        own = {
            view: frame.filter(pl.col("symbol") == symbol).drop("symbol")
            for view, frame in history.items()
        }
        every = dataset.join_features(decided, own, settings)
        ours = every.filter(~pl.col("row_reason").str.starts_with("no_row"))
        theirs = from_feast[from_feast["symbol"] == symbol]
        assert (
            theirs["event_timestamp"].astype("datetime64[us, UTC]").astype("int64").to_list()
            == ours["decision_us"].to_list()
        )
        np.testing.assert_array_equal(
            ours.select(CORE).to_numpy(), theirs[list(CORE)].to_numpy(dtype=float)
        )
        assert 20 < len(ours) < len(every) - 10
        assert ours.select(CORE).null_count().sum_horizontal()[0] > 20
