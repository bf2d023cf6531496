"""LightGBM repeats bit for bit with its seed, whatever the number of cores, and learns what
is there.
"""

import numpy as np

from contracts.config.settings import Settings
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
