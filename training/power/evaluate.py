"""Evaluation on the hold-out days: the exported model against both naive forecasts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from contracts.durations import DAY_US, HOUR_US
from models import runtime
from models.export.lightgbm_booster import export_booster
from training.power import gate, model
from training.power.features import FEATURES, LAG_FEATURES, feature_matrix
from training.power.model import FittedModel
from training.power.split import DataSplit
from training.run.gate import GateVerdict

NAIVE_24, NAIVE_168 = LAG_FEATURES[0], LAG_FEATURES[-1]
HORIZON_S = 86_400
Metrics = dict[str, float]


@dataclass(frozen=True)
class PowerEvaluation:
    """Verdict, metrics, and the test hours with `forecast_kw`.

    Errors among the metrics are in kW, or divided by the standard deviation of the training hours.
    """

    verdict: GateVerdict
    metrics: Metrics
    test: pl.DataFrame


def export_model(
    fitted: FittedModel, parts: DataSplit, series: str, folder: Path
) -> runtime.ExportedModel:
    """Export the booster into `folder`. Raises RegistryError if the file forecasts differently."""
    last_us = int(parts.train["event_time_us"].max())  # type: ignore[arg-type]
    return export_booster(
        fitted.booster,
        feature_matrix(parts.test),
        folder,
        features=FEATURES,
        trained_on=f"power:{series}",
        trained_to_us=last_us + HOUR_US,
        horizon_s=HORIZON_S,
    )


def evaluate_export(exported: runtime.ExportedModel, parts: DataSplit) -> PowerEvaluation:
    """Forecast the test hours with the file that would be served, and evaluate the gate."""
    loaded = runtime.load_model(exported.folder, exported.digest)
    actual = parts.test["kw"].to_numpy()
    train_actual = parts.train["kw"].to_numpy()
    train_std = float(np.std(train_actual))
    forecast = loaded.predict(feature_matrix(parts.test))
    rmse = model.rmse(forecast, actual)
    mae = model.mae(forecast, actual)
    naive_24_rmse = model.rmse(parts.test[NAIVE_24].to_numpy(), actual)
    naive_168_rmse = model.rmse(parts.test[NAIVE_168].to_numpy(), actual)
    test_days = parts.test.select((pl.col("event_time_us") // DAY_US).n_unique()).item()
    verdict = gate.evaluate_power_gate(rmse, train_std, naive_24_rmse, naive_168_rmse, test_days)
    metrics = {
        "test_rmse.model": rmse,
        "test_rmse.naive_24": naive_24_rmse,
        "test_rmse.naive_168": naive_168_rmse,
        "rmse_over_train_std.model": gate.error_ratio(rmse, train_std),
        "rmse_over_train_std.naive_24": gate.error_ratio(naive_24_rmse, train_std),
        "rmse_over_train_std.naive_168": gate.error_ratio(naive_168_rmse, train_std),
        "test_rmse": rmse,
        "test_mae": mae,
        "mae": mae,
        "train_std": train_std,
        gate.ERROR: gate.error_ratio(rmse, train_std),
        gate.SKILL: gate.skill_score(rmse, naive_24_rmse, naive_168_rmse),
        "test_days": float(test_days),
        "train_rmse": model.rmse(loaded.predict(feature_matrix(parts.train)), train_actual),
        "threshold_pass": float(verdict.threshold_pass),
        "gate_pass": float(verdict.gate_pass),
    }
    test = parts.test.with_columns(pl.Series("forecast_kw", forecast))
    return PowerEvaluation(verdict, metrics, test)
