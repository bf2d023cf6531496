"""The forest is the specified one and repeats with its seed."""

import numpy as np
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from tests.support.market import dataset
from training.tick import model
from training.tick.data import dataset as datasets

SETTINGS = Settings(train_threads=1)
FRAME = dataset(days=2).frame
X, Y = datasets.feature_matrix(FRAME), FRAME["y"].to_numpy()


def test_growing_in_steps_gives_the_forest_of_one_go():
    steps = []
    grown = model.fit_forest(X, Y, SETTINGS, lambda *step: steps.append(step))
    at_once = model.build_forest(SETTINGS).fit(X.astype(np.float32), Y)
    assert np.array_equal(grown.predict(X[:500]), at_once.predict(X[:500]))
    assert steps[-1] == ("train", 100, 100)
    assert {key: grown.get_params()[key] for key in model.FOREST} == model.FOREST


def test_another_seed_is_another_forest():
    other = Settings(train_threads=1, seed=8)
    assert not np.array_equal(
        model.fit_forest(X, Y, SETTINGS).predict(X[:50]),
        model.fit_forest(X, Y, other).predict(X[:50]),
    )


def test_too_few_rows_are_refused():
    with pytest.raises(DatasetError, match="too few"):
        model.fit_forest(X[:100], Y[:100], SETTINGS)
