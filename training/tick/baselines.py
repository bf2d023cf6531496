"""LightGBM and the simple baselines: forecasts that the forest is compared with, never promoted."""

from typing import Any

import lightgbm
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contracts.config.groups.training import TrainingSettings
from contracts.features import CORE
from training.tick.data import dataset
from training.tick.data.split import Split
from training.tick.model import Floats

NAME = "lightgbm"
# Conservative: few leaves, many rows in each, half of the rows and features per tree.
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
# The same model whatever the number of threads.
REPRODUCIBLE = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
ALWAYS_LONG = 1.0  # a log return far above any cost, so the position is never closed


def fit_lightgbm(x: Floats, y: Floats, settings: TrainingSettings) -> Any:
    """Fit a booster on (rows × CORE) features and log returns (rows,); x becomes float32."""
    data = lightgbm.Dataset(
        x.astype(np.float32), y, feature_name=list(CORE), params={"verbosity": -1}
    )
    params = {
        **BOOSTER,
        **REPRODUCIBLE,
        "seed": settings.seed,
        "num_threads": settings.train_threads,
    }
    return lightgbm.train(params, data, num_boost_round=ROUNDS)


def comparison_forecasts(parts: Split, settings: TrainingSettings) -> dict[str, Floats]:
    """Forecasts (test rows,) by name, of LightGBM and the baselines fitted on `train`."""
    x = dataset.feature_matrix(parts.train)
    y = parts.train["y"].to_numpy()
    test = dataset.feature_matrix(parts.test)
    booster = fit_lightgbm(x, y, settings)
    return {NAME: booster.predict(test.astype(np.float32)), **baseline_forecasts(x, y, test)}


def baseline_forecasts(x: Floats, y: Floats, test: Floats) -> dict[str, Floats]:
    """Forecasts of the (rows × CORE) test features by baseline, each (rows,).

    `ols` uses all features, `ar1` the last minute's return only.
    """
    last_return = [CORE.index("log_return_1m")]
    ols = make_pipeline(StandardScaler(), LinearRegression()).fit(x, y)
    ar1 = LinearRegression().fit(x[:, last_return], y)
    return {
        "ols": ols.predict(test),
        "ar1": ar1.predict(test[:, last_return]),
        "zero": np.zeros(len(test)),
        "buy_and_hold": np.full(len(test), ALWAYS_LONG),
    }
