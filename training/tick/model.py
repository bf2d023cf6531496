"""The forecasters: the random forest that may become Production, and the baselines that are
reported alongside it.

Plain defaults overfit this data: IC .041 against .071.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.features import CORE
from contracts.progress import Progress, silent

Floats = NDArray[np.float64]
NAME = "random_forest"
FOREST = {"n_estimators": 100, "min_samples_leaf": 200, "max_features": 0.5, "max_samples": 0.5}
ROWS_MIN = 6 * int(
    FOREST["min_samples_leaf"]
)  # a tree draws half as many rows, 39 % are distinct, and a split needs two leaves
TREES_AT_ONCE = 10
ALWAYS_LONG = 1.0  # a forecast far above any cost: the position is never given up


def forest(settings: Settings) -> RandomForestRegressor:
    """The unfitted forest of the specification, with this process's cores and seed."""
    return RandomForestRegressor(
        **FOREST, n_jobs=settings.train_threads, random_state=settings.seed
    )


def fit(x: Floats, y: Floats, settings: Settings, progress: Progress = silent) -> Any:
    """The fitted forest, grown a few trees at a time, which changes nothing but lets `progress`
    speak.

    `x` is rows × features; float32 in, as every reader of the model will give it. Raises
    DatasetError for too few rows.
    """
    if len(x) < ROWS_MIN:
        raise DatasetError(
            f"{len(x)} training rows are too few for a forest, {ROWS_MIN} is the least",
            "widen --from/--to",
        )
    grown, narrow, trees = (
        forest(settings).set_params(warm_start=True),
        x.astype(np.float32),
        int(FOREST["n_estimators"]),
    )
    for count in range(TREES_AT_ONCE, trees + 1, TREES_AT_ONCE):
        grown.set_params(n_estimators=count).fit(narrow, y)
        progress("train", count, trees)
    return grown


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
