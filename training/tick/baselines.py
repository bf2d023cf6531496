"""The challenger, LightGBM, and with it everything the forest is reported alongside. It is measured
in every run and never promoted.

Fixed, careful parameters: few leaves, many rows in each, half of the rows and features at a time.
Equal seed, equal model.
"""

from typing import Any

import lightgbm
import numpy as np

from contracts.config.settings import Settings
from contracts.features import CORE
from training.tick import dataset, model
from training.tick.backtest import Floats
from training.tick.split import Split

NAME = "lightgbm"
BOOSTER = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 200,  # as the forest's leaves
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
}
ROUNDS = 150
STEADY = {
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}  # the same whatever the number of cores


def fit(x: Floats, y: Floats, settings: Settings) -> Any:
    """The fitted booster on (rows × CORE) features, float32 in as for the forest."""
    data = lightgbm.Dataset(
        x.astype(np.float32), y, feature_name=list(CORE), params={"verbosity": -1}
    )
    params = {**BOOSTER, **STEADY, "seed": settings.seed, "num_threads": settings.train_threads}
    return lightgbm.train(params, data, num_boost_round=ROUNDS)


def rivals(parts: Split, settings: Settings) -> dict[str, Floats]:
    """Forecasts of the test rows by name, all learned from this split's training rows: the
    challenger and the baselines.
    """
    x, y, test = (
        dataset.matrix(parts.train),
        parts.train["y"].to_numpy(),
        dataset.matrix(parts.test),
    )
    return {
        NAME: fit(x, y, settings).predict(test.astype(np.float32)),
        **model.baselines(x, y, test),
    }
