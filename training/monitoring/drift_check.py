"""Drift check of the Production model on current rows of the lakehouse.

Compares with the reference that the model's training stored in MLflow.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from mlflow.exceptions import MlflowException

from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.redis_keys import DRIFT_KEY
from feature_store.online import signals
from models import runtime, tracking
from models.registry import Registry
from models.versions import ModelVersion
from training.run import mlflow_run
from training.tick import drift
from training.tick.data import dataset
from training.tick.steps import PIPELINE


class NoProductionError(RegistryError):
    """There is no Production model whose drift could be checked: before the first promotion, or
    after a retirement."""


@dataclass(frozen=True)
class DriftCheck:
    """Verdict on a model version over `rows` decisions.

    `due`: there is a reason to retrain, and the last training (its start in µs UTC, None if there
    was none) is 24 hours old or more.
    """

    verdict: drift.DriftVerdict
    due: bool
    version: str
    rows: int
    last_training_us: int | None

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "due": self.due,
            "version": self.version,
            "rows": self.rows,
            "last_retrain_us": self.last_training_us,
            **self.verdict.as_dict(),
        }

    def summary(self) -> dict[str, Any]:
        """The summary that the API shows: number of alerts among the features, PSI of the
        predictions."""
        columns = self.verdict.columns
        forecast_psi = next((each.psi for each in columns if each.name == drift.PREDICTION), None)
        features = [each for each in columns if each.name != drift.PREDICTION]
        return {
            "alerts": sum(each.level == "alert" for each in features),
            "prediction_psi": forecast_psi,
            "retrain": self.verdict.retrain,
            "version": self.version,
        }


def check_drift(
    settings: Settings,
    from_us: int,
    to_us: int,
    at_us: int,
    reference_range: tuple[int, int] | None = None,
) -> DriftCheck:
    """Check decisions in [from_us, to_us) against the training of the Production model.

    `reference_range` compares with the decisions in that range instead. All times in µs UTC;
    `at_us` is now. Publishes the summary to the API. Raises NoProductionError if there is no
    Production model, RegistryError if it has no reference, DatasetError if there are too few rows.
    """
    registry = Registry(settings)
    version = registry.production_version()
    if version is None:
        raise NoProductionError(
            f"{settings.model_name} has no Production version to check for drift",
            "a training that passes the gate makes one: `tick train tick`, or weekly by Airflow",
        )
    local = registry.fetch_version(version)
    model = runtime.load_model(local.path, local.digest, local.name, local.version)
    reference = (
        _download_reference(settings, version)
        if reference_range is None
        else _build_reference(settings, model, *reference_range)
    )
    rows = _add_forecast(model, dataset.read_dataset(settings, from_us, to_us).frame)
    ic = drift.estimate_ic(
        rows["decision_us"].to_numpy(),
        rows[drift.PREDICTION].to_numpy(),
        rows["y"].to_numpy(),
        settings.seed,
    )
    verdict = drift.evaluate_drift(drift.compare_columns(reference, rows), ic)
    last_us = last_training_us(settings)
    is_due = drift.is_retrain_due(verdict, last_us, at_us)
    result = DriftCheck(verdict, is_due, local.version, len(rows), last_us)
    signals.publish(settings, DRIFT_KEY, json.dumps(result.summary()).encode())
    return result


def last_training_us(settings: TrainingSettings) -> int | None:
    """Start (µs UTC) of the experiment's newest training, promoted or not; None without one."""
    client = tracking.client(settings)
    experiment = tracking.experiment_id(settings, client, settings.experiment)
    runs = client.search_runs(
        [experiment],
        f"tags.`{mlflow_run.NAME}` = '{PIPELINE.run_name}'",
        max_results=1,
        order_by=["start_time DESC"],
    )
    return int(runs[0].info.start_time) * 1000 if runs else None


def _download_reference(settings: Settings, version: ModelVersion) -> dict[str, Any]:
    """The artifact of the version's training."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = tracking.client(settings).download_artifacts(
                version.run_id, drift.REFERENCE_FILE, scratch
            )
            reference: dict[str, Any] = json.loads(Path(file).read_text())
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"version {version.version} has no {drift.REFERENCE_FILE} in its run"
                f" {version.run_id}",
                "train again, or name a range to compare with (`tick drift --reference-from"
                " --reference-to`)",
            ) from error
    return reference


def _build_reference(
    settings: Settings, model: runtime.Model, from_us: int, to_us: int
) -> dict[str, Any]:
    rows = _add_forecast(model, dataset.read_dataset(settings, from_us, to_us).frame)
    return drift.build_reference(rows, rows[drift.PREDICTION].to_numpy())


def _add_forecast(model: runtime.Model, rows: pl.DataFrame) -> pl.DataFrame:
    missing = sorted(set(model.features) - set(rows.columns))
    if missing:
        raise RegistryError(
            f"version {model.version} needs {missing}, which the dataset no longer has",
            "train again",
        )
    forecast = model.predict(rows.select(model.features).to_numpy())
    return rows.with_columns(pl.Series(drift.PREDICTION, forecast, dtype=pl.Float64))
