"""The forecaster: LightGBM with the specification's parameters, stopped early on later hours than
it was fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from contracts.config.settings import Settings
from contracts.progress import Progress
from training.power.features import FEATURES, matrix
from training.power.split import Parts

NAME = "lightgbm"
PARAMETERS = {
    "objective": "regression",
    "metric": "rmse",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "feature_fraction": 0.9,
}
STEADY = {
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}  # the same whatever the number of cores
ROUNDS_MAX = 2000
PATIENCE = 50


@dataclass(frozen=True)
class Fitted:
    """The booster, cut at its best iteration when read or written, and RMSE in kW after each
    iteration.
    """

    booster: Any
    fit_rmse: Sequence[float]
    valid_rmse: Sequence[float]


def hyper_parameters(settings: Settings) -> dict[str, Any]:
    """Everything that decides what comes out, besides the data."""
    return {
        **PARAMETERS,
        **STEADY,
        "seed": settings.seed,
        "rounds_max": ROUNDS_MAX,
        "early_stopping_rounds": PATIENCE,
    }


def fit(parts: Parts, settings: Settings, progress: Progress) -> Fitted:
    """Fit on `parts.fit` until RMSE on `parts.valid` has not improved for PATIENCE iterations.
    Equal data and seed, equal model.
    """
    names = list(FEATURES)
    fitting = lightgbm.Dataset(
        matrix(parts.fit), parts.fit["kw"].to_numpy(), feature_name=names, params={"verbosity": -1}
    )
    later = lightgbm.Dataset(matrix(parts.valid), parts.valid["kw"].to_numpy(), reference=fitting)
    history: dict[str, dict[str, list[float]]] = {}

    def tell(state: Any) -> None:
        progress("train", state.iteration + 1, ROUNDS_MAX)

    booster = lightgbm.train(
        {**PARAMETERS, **STEADY, "seed": settings.seed, "num_threads": settings.train_threads},
        fitting,
        num_boost_round=ROUNDS_MAX,
        valid_sets=[fitting, later],
        valid_names=["fit", "valid"],
        callbacks=[
            lightgbm.early_stopping(PATIENCE, verbose=False),
            lightgbm.record_evaluation(history),
            tell,
        ],
    )
    progress("train", ROUNDS_MAX, ROUNDS_MAX)
    return Fitted(booster, history["fit"]["rmse"], history["valid"]["rmse"])


def rmse(forecast: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Root mean squared error, in the unit of both."""
    return float(np.sqrt(np.mean((forecast - actual) ** 2)))


def mae(forecast: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Mean absolute error, in the unit of both."""
    return float(np.mean(np.abs(forecast - actual)))
