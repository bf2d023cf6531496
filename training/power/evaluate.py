"""Judging on the untouched days: the written model file against both naive forecasts on the same
hours, and the gate's verdict.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models import runtime
from models.export_lightgbm import export
from training.power import gate, model
from training.power.features import FEATURES, HOUR_US, LAG_FEATURES, matrix
from training.power.files import DAY_US
from training.power.model import Fitted
from training.power.split import Parts
from training.run.gate import Verdict

NAIVE_24, NAIVE_168 = LAG_FEATURES[0], LAG_FEATURES[-1]
HORIZON_S = 86_400
Numbers = dict[str, float]


@dataclass(frozen=True)
class Judged:
    """The verdict, its numbers (errors in kW and as shares of the training hours' standard
    deviation) and the test hours' forecast.
    """

    verdict: Verdict
    numbers: Numbers
    test: pl.DataFrame


def write(fitted: Fitted, parts: Parts, series: str, folder: Path) -> runtime.Exported:
    """The model as a sealed folder. Raises RegistryError when the file answers otherwise than the
    booster.
    """
    trained_to_us = int(parts.train["event_time_us"].max()) + HOUR_US  # type: ignore[arg-type]
    facts = {
        "trained_on": f"power:{series}",
        "trained_to_us": trained_to_us,
        "horizon_s": HORIZON_S,
    }
    return export(fitted.booster, matrix(parts.test), folder, features=FEATURES, **facts)  # type: ignore[arg-type]


def judge(exported: runtime.Exported, parts: Parts) -> Judged:
    """Forecast the test hours by the file that Production would run, and judge."""
    known = runtime.load(exported.folder, exported.digest)
    actual, train = parts.test["kw"].to_numpy(), parts.train
    forecast = known.predict(matrix(parts.test))
    std = float(np.std(train["kw"].to_numpy()))
    errors = {
        "model": forecast,
        "naive_24": parts.test[NAIVE_24].to_numpy(),
        "naive_168": parts.test[NAIVE_168].to_numpy(),
    }
    numbers = {f"test_rmse.{name}": model.rmse(guess, actual) for name, guess in errors.items()}
    rmse, naive_24, naive_168 = numbers.values()
    days = parts.test.select((pl.col("event_time_us") // DAY_US).n_unique()).item()
    verdict = gate.judge(rmse, std, naive_24, naive_168, days)
    numbers |= {
        f"rmse_over_train_std.{name}": gate.ratio(numbers[f"test_rmse.{name}"], std)
        for name in errors
    }
    mae = model.mae(forecast, actual)
    numbers |= {
        "test_rmse": rmse,
        "test_mae": mae,
        "mae": mae,
        "train_std": std,
        gate.ERROR: gate.ratio(rmse, std),
    }
    numbers |= {gate.SKILL: gate.skill(rmse, naive_24, naive_168), "test_days": float(days)}
    numbers |= {"train_rmse": model.rmse(known.predict(matrix(train)), train["kw"].to_numpy())}
    numbers |= {
        "threshold_pass": float(verdict.threshold_pass),
        "gate_pass": float(verdict.gate_pass),
    }
    return Judged(verdict, numbers, parts.test.with_columns(pl.Series("forecast_kw", forecast)))
