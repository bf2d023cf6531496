"""The forecasters: the random forest that may become Production, and the baselines that are reported beside it.

A challenger (LightGBM) would be one more entry here. Plain defaults overfit this data: IC .041 against .071.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contracts.features import CORE
from contracts.settings import Settings

Floats = NDArray[np.float64]
FOREST = {"n_estimators": 100, "min_samples_leaf": 200, "max_features": 0.5, "max_samples": 0.5}
ALWAYS_LONG = 1.0  # a forecast far above any cost: the position is never given up


def forest(settings: Settings) -> RandomForestRegressor:
    """The unfitted forest of the specification, with this process's cores and seed."""
    return RandomForestRegressor(**FOREST, n_jobs=settings.train_jobs, random_state=settings.seed)


def fit(x: Floats, y: Floats, settings: Settings) -> Any:
    """The fitted forest. `x` is rows × features; float32 in, as every reader of the model will give it."""
    return forest(settings).fit(x.astype(np.float32), y)


def baselines(x: Floats, y: Floats, test: Floats) -> dict[str, Floats]:
    """Forecasts of the test rows by name: what any model must be measured against."""
    own_past = [CORE.index("log_return_1m")]
    ols = make_pipeline(StandardScaler(), LinearRegression()).fit(x, y)
    ar1 = LinearRegression().fit(x[:, own_past], y)
    return {
        "ols": ols.predict(test),
        "ar1": ar1.predict(test[:, own_past]),
        "zero": np.zeros(len(test)),
        "buy_and_hold": np.full(len(test), ALWAYS_LONG),
    }
