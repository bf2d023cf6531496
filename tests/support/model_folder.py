"""A small forest as a model folder."""

import functools

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from models.export.sklearn_estimator import export_estimator

FEATURES = ("a", "b", "c")
GATE_PASSED_TAGS = {"gate_pass": "true"}


@functools.cache
def forest(seed=1):
    """A fitted forest of 8 trees on three features."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2000, len(FEATURES))).astype(np.float32)
    y = 1e-4 * (np.sign(x[:, 0]) + rng.standard_normal(2000))
    return RandomForestRegressor(8, min_samples_leaf=50, random_state=seed).fit(x, y), x


def export_small_forest(folder, seed=1):
    """Export that forest to `folder`; returns its `ExportedModel`."""
    estimator, x = forest(seed)
    return export_estimator(
        estimator,
        x,
        folder,
        features=FEATURES,
        trained_on="synthetic",
        trained_to_us=1,
        horizon_s=60,
        seed=seed,
    )
