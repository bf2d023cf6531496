"""LightGBM gives the same bits for the same seed on any number of cores; each baseline is the
estimator that its name says.
"""

import numpy as np
import pytest

from contracts.config.settings import Settings
from contracts.features import CORE
from tests.support.market import dataset
from training.tick import baselines
from training.tick.data import dataset as datasets
from training.tick.data import split

FRAME = dataset(days=4, symbols=("SYNTH:AAAUSD",)).frame
PARTS = split.purged_split(
    FRAME, int(FRAME["decision_us"][4000]), int(FRAME["decision_us"][-1]) + 1, 0
)
X, Y = datasets.feature_matrix(PARTS.train), PARTS.train["y"].to_numpy()


def forecast(**given):
    return baselines.fit_lightgbm(X, Y, Settings(**given)).predict(
        datasets.feature_matrix(PARTS.test)
    )


def test_equal_seeds_are_equal_models_on_any_number_of_cores():
    once = forecast(train_threads=1)
    assert np.array_equal(once, forecast(train_threads=1))
    assert np.array_equal(once, forecast(train_threads=2))
    assert not np.array_equal(once, forecast(train_threads=1, seed=8))


def test_its_parameters_are_the_fixed_ones():
    assert {
        key: baselines.fit_lightgbm(X, Y, Settings(train_threads=1)).params[key]
        for key in baselines.BOOSTER
    } == baselines.BOOSTER


def test_comparisons_are_lightgbm_and_the_baselines_on_the_test_rows():
    made = baselines.comparison_forecasts(PARTS, Settings(train_threads=1))
    assert list(made) == ["lightgbm", "ols", "ar1", "zero", "buy_and_hold"]
    assert {len(guess) for guess in made.values()} == {len(PARTS.test)}
    y = PARTS.test["y"].to_numpy()
    assert np.corrcoef(made["lightgbm"], y)[0, 1] > 0.2


def test_the_baselines_are_what_their_names_say():
    forecasts = baselines.baseline_forecasts(X, Y, X)
    assert set(forecasts) == {"ols", "ar1", "zero", "buy_and_hold"}
    assert np.corrcoef(forecasts["ols"], Y)[0, 1] > 0.25
    own_past = X[:, CORE.index("log_return_1m")]
    assert abs(np.corrcoef(forecasts["ar1"], own_past)[0, 1]) == pytest.approx(1)
    assert not forecasts["zero"].any()
    assert (forecasts["buy_and_hold"] > 1e-2).all()
