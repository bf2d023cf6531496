"""The Production model against the lakehouse: its training's reference from MLflow, present rows,
its forecasts on them.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from mlflow.exceptions import MlflowException

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from contracts.redis_keys import DRIFT_KEY
from feature_store.online import signals
from models import registry, runtime, tracking
from training.run import mlflow_run
from training.tick import dataset, drift
from training.tick.steps import RUN_NAME


@dataclass(frozen=True)
class Outcome:
    """A verdict on one model version over `rows` decisions; `due`: asked for, and no training in
    the last 24 h.
    """

    verdict: drift.Verdict
    due: bool
    version: str
    rows: int
    last_retrain_us: int | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        facts = {
            "due": self.due,
            "version": self.version,
            "rows": self.rows,
            "last_retrain_us": self.last_retrain_us,
        }
        return facts | self.verdict.as_dict()

    def told(self) -> dict[str, Any]:
        """What the API shows of it: how many core features are over the limit, and how far the
        predictions have moved.
        """
        lines = self.verdict.lines
        forecast = next((line.psi for line in lines if line.name == drift.FORECAST), None)
        alerts = sum(line.level == "alert" for line in lines if line.name != drift.FORECAST)
        return {
            "alerts": alerts,
            "prediction_psi": forecast,
            "retrain": self.verdict.retrain,
            "version": self.version,
        }


def check(
    settings: Settings, from_us: int, to_us: int, at_us: int, against: tuple[int, int] | None = None
) -> Outcome:
    """Drift of decisions in [from, to) µs against the Production model's training, or against
    decisions of the range `against`.

    Raises RegistryError without a Production model or its reference, DatasetError when there are
    too few rows.
    """
    found = registry.production(settings)
    model = runtime.load(found.path, found.digest, found.name, found.version)
    known = _reference(settings) if against is None else _of_range(settings, model, *against)
    rows = _forecast(model, dataset.load(settings, from_us, to_us).frame)
    times, forecast, y = (rows[name].to_numpy() for name in ("decision_us", drift.FORECAST, "y"))
    verdict = drift.judge(drift.compare(known, rows), drift.ic(times, forecast, y, settings.seed))
    last = last_retrain_us(settings)
    outcome = Outcome(verdict, drift.due(verdict, last, at_us), found.version, len(rows), last)
    signals.publish(settings, DRIFT_KEY, json.dumps(outcome.told()).encode())
    return outcome


def last_retrain_us(settings: Settings) -> int | None:
    """When the newest training of the experiment began, promoted or not; None when there was
    none."""
    client = tracking.client(settings)
    experiment = tracking.experiment_id(settings, client, settings.experiment)
    runs = client.search_runs(
        [experiment],
        f"tags.`{mlflow_run.NAME}` = '{RUN_NAME}'",
        max_results=1,
        order_by=["start_time DESC"],
    )
    return int(runs[0].info.start_time) * 1000 if runs else None


def _reference(settings: Settings) -> dict[str, Any]:
    """The artifact that the Production version's training left."""
    version = registry.current(settings)
    assert version is not None  # `production` has found one
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = tracking.client(settings).download_artifacts(version.run_id, drift.FILE, scratch)
            known: dict[str, Any] = json.loads(Path(file).read_text())
        except (MlflowException, OSError) as error:
            hint = (
                "train again, or name a range to compare with (`tick drift --reference-from"
                " --reference-to`)"
            )
            raise RegistryError(
                f"version {version.version} has no {drift.FILE} in its run {version.run_id}", hint
            ) from error
    return known


def _of_range(settings: Settings, model: runtime.Model, from_us: int, to_us: int) -> dict[str, Any]:
    rows = _forecast(model, dataset.load(settings, from_us, to_us).frame)
    return drift.reference(rows, rows[drift.FORECAST].to_numpy())


def _forecast(model: runtime.Model, rows: pl.DataFrame) -> pl.DataFrame:
    missing = sorted(set(model.features) - set(rows.columns))
    if missing:
        raise RegistryError(
            f"version {model.version} needs {missing}, which the dataset no longer has",
            "train again",
        )
    forecast = model.predict(rows.select(model.features).to_numpy())
    return rows.with_columns(pl.Series(drift.FORECAST, forecast, dtype=pl.Float64))
