"""The dataset out of real Iceberg tables equals the one built in memory, and names the snapshots it
came from.
"""

import numpy as np
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse
from tests.support.market import T0, S, feature_rows
from tests.support.stored_market import TO_US, market, store
from training.tick.data import dataset

# The tables carry a property that only Flink's writer knows.
pytestmark = pytest.mark.filterwarnings("ignore:Parquet writer option:UserWarning")


@pytest.fixture
def settings(tmp_path):
    """A lakehouse with nothing in it."""
    return Settings(home=tmp_path)


def test_what_is_loaded_is_what_would_be_built_in_memory(settings):
    views = feature_rows(np.arange(1, 1800, 10))
    store(settings, market(), views)
    loaded = dataset.read_dataset(settings, T0, TO_US)
    built = dataset.build_dataset(market(), views, T0, TO_US, settings)
    assert loaded.frame.equals(built.frame)
    assert (loaded.fingerprint, loaded.dropped) == (built.fingerprint, built.dropped)
    assert (
        loaded.frame["exit_us"].max() > TO_US - 60 * S
    )  # the last label reads ticks after the range
    current = Lakehouse(settings).snapshot_ids()
    assert loaded.snapshots == current
    assert current[SILVER] is not None


def test_an_empty_lakehouse_is_a_clear_error(settings):
    with pytest.raises(DatasetError, match="no ticks"):
        dataset.read_dataset(settings, T0, TO_US)


def test_ticks_without_features_are_a_clear_error(settings):
    store(
        settings, market(), {view: frame.head(1) for view, frame in feature_rows([-4000]).items()}
    )
    with pytest.raises(DatasetError, match="no_row:tick_1s"):
        dataset.read_dataset(settings, T0, TO_US)
