"""The forecaster: LightGBM with early stopping on hours later than those it is fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from contracts.config.groups.training import TrainingSettings
from contracts.progress import Progress
from training.power.features import FEATURES, feature_matrix
from training.power.split import DataSplit

NAME = "lightgbm"
# The specification's parameters.
PARAMETERS = {
    "objective": "regression",
    "metric": "rmse",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "feature_fraction": 0.9,
}
# The same model whatever the number of threads.
REPRODUCIBLE = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
ROUNDS_MAX = 2000
EARLY_STOPPING_ROUNDS = 50


@dataclass(frozen=True)
class FittedModel:
    """The booster, which predicts with its best iteration, and the RMSE (kW) of each iteration."""

    booster: Any
    fit_rmse: Sequence[float]
    valid_rmse: Sequence[float]


def hyper_parameters(settings: TrainingSettings) -> dict[str, Any]:
    """Everything apart from the data that determines the model."""
    return {
        **PARAMETERS,
        **REPRODUCIBLE,
        "seed": settings.seed,
        "rounds_max": ROUNDS_MAX,
        "early_stopping_rounds": EARLY_STOPPING_ROUNDS,
    }


def fit_model(parts: DataSplit, settings: TrainingSettings, progress: Progress) -> FittedModel:
    """Fit on `parts.fit` until the RMSE on `parts.valid` stops improving.

    Stops EARLY_STOPPING_ROUNDS iterations after the best one. Equal data and seed give an equal
    model.
    """
    fit_set = lightgbm.Dataset(
        feature_matrix(parts.fit),
        parts.fit["kw"].to_numpy(),
        feature_name=list(FEATURES),
        params={"verbosity": -1},
    )
    valid_set = lightgbm.Dataset(
        feature_matrix(parts.valid), parts.valid["kw"].to_numpy(), reference=fit_set
    )
    history: dict[str, dict[str, list[float]]] = {}

    def report_progress(state: Any) -> None:
        progress("train", state.iteration + 1, ROUNDS_MAX)

    booster = lightgbm.train(
        {
            **PARAMETERS,
            **REPRODUCIBLE,
            "seed": settings.seed,
            "num_threads": settings.train_threads,
        },
        fit_set,
        num_boost_round=ROUNDS_MAX,
        valid_sets=[fit_set, valid_set],
        valid_names=["fit", "valid"],
        callbacks=[
            lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False),
            lightgbm.record_evaluation(history),
            report_progress,
        ],
    )
    progress("train", ROUNDS_MAX, ROUNDS_MAX)
    return FittedModel(booster, history["fit"]["rmse"], history["valid"]["rmse"])


def rmse(forecast: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Root mean squared error of two (n,) arrays, in their unit."""
    return float(np.sqrt(np.mean((forecast - actual) ** 2)))


def mae(forecast: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Mean absolute error of two (n,) arrays, in their unit."""
    return float(np.mean(np.abs(forecast - actual)))
