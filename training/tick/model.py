"""The random forest that may become Production.

Its parameters are conservative; scikit-learn's defaults overfit this data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from contracts.config.groups.training import TrainingSettings
from contracts.errors import DatasetError
from contracts.progress import Progress, silent

Floats = NDArray[np.float64]
NAME = "random_forest"
FOREST = {"n_estimators": 100, "min_samples_leaf": 200, "max_features": 0.5, "max_samples": 0.5}
# Each tree sees 39 % of the rows (it draws half as many, with replacement) and needs two leaves of
# 200 for one split: 400 / 0.39 ≈ 1,030 rows. Six leaves' worth leaves a margin.
ROWS_MIN = 6 * int(FOREST["min_samples_leaf"])
TREES_PER_STEP = 10


def build_forest(settings: TrainingSettings) -> RandomForestRegressor:
    """The unfitted forest, with the threads and seed of the settings."""
    return RandomForestRegressor(
        **FOREST, n_jobs=settings.train_threads, random_state=settings.seed
    )


def fit_forest(
    x: Floats, y: Floats, settings: TrainingSettings, progress: Progress = silent
) -> Any:
    """Fit the forest on (rows × CORE) features `x` and log returns `y` (rows,).

    `x` is converted to float32, the type of the runtime. Trees are added a few at a time to report
    progress, which gives the same forest. Raises DatasetError for fewer than ROWS_MIN rows.
    """
    if len(x) < ROWS_MIN:
        raise DatasetError(
            f"{len(x)} training rows are too few for a forest, {ROWS_MIN} is the least",
            "widen --from/--to",
        )
    estimator = build_forest(settings).set_params(warm_start=True)
    samples = x.astype(np.float32)
    tree_count = int(FOREST["n_estimators"])
    for count in range(TREES_PER_STEP, tree_count + 1, TREES_PER_STEP):
        estimator.set_params(n_estimators=count).fit(samples, y)
        progress("train", count, tree_count)
    return estimator
