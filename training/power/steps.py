"""Steps of a power training: prepare_data → train_model → evaluate_model → register_model.

Each step may be a separate process; results are passed in the run directory. Repeating a step is
safe: equal data and seed give an equal model, the MLflow run of the step is resumed, and equal
content is registered once.
"""

from dataclasses import dataclass

import polars as pl

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import DatasetError
from contracts.progress import Progress
from lakehouse import power
from lakehouse.tables import Lakehouse
from models.registry import Registry
from models.runtime import ExportedModel
from models.versions import ModelVersion
from training.power import card, evaluate, features, model, plot
from training.power.evaluate import Metrics, PowerEvaluation
from training.power.files import iso_dates
from training.power.model import FittedModel
from training.power.split import DataSplit, split_by_time
from training.run.directory import replace_file
from training.run.mlflow_run import EXECUTION_DATE, MlflowRun
from training.run.provenance import iso
from training.run.training_run import (
    VERDICT,
    RegisterPolicy,
    Registration,
    TrainingPipeline,
    TrainingRun,
)

PIPELINE = TrainingPipeline("power", "power-training", "gbm")
# Entries of the state, some of which are also tags.
SERIES, THROUGH, SHA, METRICS = "series", "data_through_us", "dataset_sha256", "numbers"
HOURS = "hours.parquet"


@dataclass(frozen=True)
class PreparedHours:
    """Hours up to the end of the last day, the number of usable samples, their split, and the
    SHA-256 of the hours."""

    hours: pl.DataFrame
    samples: int
    parts: DataSplit
    sha256: str


def training_run(settings: Settings, key: str) -> TrainingRun:
    """The training `key`, a name chosen by the caller (e.g. a DAG run)."""
    return TrainingRun(settings, PIPELINE, key)


def model_name(settings: TrainingSettings, series: str) -> str:
    """Registered model of a series; the total has the plain name, a zone its name appended."""
    if series == features.TOTAL:
        return settings.power_model_name
    return f"{settings.power_model_name}-{series}"


def last_end_us(settings: LakehouseSettings) -> int:
    """End of the last whole day of readings (µs UTC). Raises DatasetError if there is none."""
    end_us = power.end_us(Lakehouse(settings))
    if end_us is None:
        raise DatasetError(
            "the lakehouse holds no power readings",
            "run `tick train power --data FILE`, or with --download",
        )
    return end_us


def past_hours(settings: LakehouseSettings, series: str, end_us: int) -> pl.DataFrame:
    """Hourly power before `end_us` (µs UTC, a midnight).

    Raises DatasetError if an hour of the last day is missing.
    """
    hours = features.hourly_power(power.readings(Lakehouse(settings), to_us=end_us), series, end_us)
    missing = hours.tail(features.HOURS_A_DAY)["kw"].null_count()
    if missing:
        raise DatasetError(
            f"{_last_day(end_us)} lacks {missing} of its 24 hours",
            "load the readings of that day, or name an earlier one with --to",
        )
    return hours


def prepare_data(
    settings: Settings, key: str, series: str, end_us: int | None, at_us: int, progress: Progress
) -> PreparedHours:
    """Save the hours before `end_us` (µs UTC), and log their counts and origin.

    `end_us` defaults to that of an earlier attempt, else to the end of the last whole day. `at_us`
    is the timestamp of the metrics. Raises DatasetError if there is too little data.
    """
    progress("prepare", 0, 1)
    training = training_run(settings, key)
    parent = training.begin(at_us, {}, settings.power_experiment)
    with parent.reopen():
        end_us = end_us or training.directory.read_state().get(THROUGH) or last_end_us(settings)
        training.directory.update_state(**{THROUGH: end_us})
        day = _last_day(end_us)
        parent.log_params({EXECUTION_DATE: day})
        parent.set_tags(
            {
                SERIES: series,
                EXECUTION_DATE: day,
                "data_through": iso(end_us),
                "seed": settings.seed,
            }
        )
        with parent.step_run("prepare_data") as step:
            hours = past_hours(settings, series, end_us)
            prepared = _split_hours(settings, hours, end_us)
            for run in (step, parent):
                run.log_metrics(_sample_counts(prepared))
                run.set_tags(_origin_tags(settings, prepared))
    replace_file(training.directory.path / HOURS, hours.write_parquet)
    training.directory.update_state(**{SERIES: series, SHA: prepared.sha256})
    progress("prepare", 1, 1)
    return prepared


def train_model(settings: Settings, key: str, progress: Progress) -> ExportedModel:
    """Fit LightGBM and export it into the run directory.

    Raises DatasetError before `prepare_data`, RegistryError if the exported file differs.
    """
    training = training_run(settings, key)
    prepared = _load_prepared(training)
    with training.step("train_lgbm") as (parent, step):
        fitted = model.fit_model(prepared.parts, settings, progress)
        _log_training(step, parent, fitted, settings)
        series = training.directory.require_state(SERIES, "prepare_data")
        exported = evaluate.export_model(fitted, prepared.parts, series, training.directory.model)
    training.save_model(exported)
    return exported


def evaluate_model(settings: Settings, key: str, progress: Progress) -> PowerEvaluation:
    """Evaluate the exported model on the hold-out days; `register_model` follows its verdict."""
    training = training_run(settings, key)
    prepared = _load_prepared(training)
    series = str(training.directory.require_state(SERIES, "prepare_data"))
    parent = training.parent_run()
    with parent.reopen():
        with parent.step_run("evaluate") as step:
            evaluation = evaluate.evaluate_export(training.saved_model(), prepared.parts)
            last_us = int(prepared.hours["event_time_us"][-1])
            title = f"{series}: the last days before {iso(last_us)}"
            _log_evaluation(step, parent, evaluation, title)
            card_text = card.write_card(
                series,
                prepared.parts,
                evaluation.verdict,
                evaluation.metrics,
                model.hyper_parameters(settings),
                prepared.sha256,
            )
            parent.log_text(card_text, card.CARD)
        progress("evaluate", 1, 1)
    training.directory.update_state(
        **{VERDICT: evaluation.verdict.as_dict(), METRICS: evaluation.metrics}
    )
    return evaluation


def register_model(settings: Settings, key: str, progress: Progress) -> Registration:
    """Register and promote a model that passed the gate; a refused one is not registered.

    Equal content is registered once. A model of an earlier day, as of a backfill, does not replace
    a Production model that was trained on later data. Raises DatasetError before `evaluate_model`.
    """
    training = training_run(settings, key)
    verdict = training.saved_verdict()
    with training.parent_run().closing():
        registration = Registration(verdict)
        if verdict.gate_pass:
            registration = _register(training)
        progress("register", 1, 1)
    training.directory.update_state(version=registration.version)
    return registration


def _register(training: TrainingRun) -> Registration:
    state = training.directory
    end_us = int(state.require_state(THROUGH, "prepare_data"))
    series = str(state.require_state(SERIES, "prepare_data"))
    metrics = state.require_state(METRICS, "evaluate_model")
    name = model_name(training.settings, series)
    digest = training.saved_model().digest

    def knows_latest_data(production: ModelVersion | None, version: str | None) -> bool:
        return production is None or int(production.tags.get(THROUGH, "0")) <= end_us

    policy = RegisterPolicy(
        find_version=lambda: Registry(training.settings, name).find_version_with_digest(digest),
        may_replace=knows_latest_data,
    )
    metric_tags = {each: f"{metrics[each]:.4f}" for each in ("rmse_over_train_std", "skill")}
    tags = {SERIES: series, THROUGH: str(end_us), **metric_tags}
    return training.register(training.saved_verdict(), tags, policy, name)


def _last_day(end_us: int) -> str:
    """ISO date of the day that ends at `end_us`."""
    return iso_dates([end_us // DAY_US - 1])[0]


def _split_hours(settings: TrainingSettings, hours: pl.DataFrame, end_us: int) -> PreparedHours:
    samples = features.training_samples(features.add_features(hours))
    parts = split_by_time(samples, end_us, settings.power_test_days, settings.power_valid_days)
    return PreparedHours(hours, len(samples), parts, features.fingerprint(hours))


def _load_prepared(training: TrainingRun) -> PreparedHours:
    """The data that `prepare_data` saved. Raises DatasetError if the file was changed."""
    directory = training.directory
    end_us = int(directory.require_state(THROUGH, "prepare_data"))
    sha256 = directory.require_state(SHA, "prepare_data")
    prepared = _split_hours(training.settings, pl.read_parquet(directory.path / HOURS), end_us)
    if prepared.sha256 != sha256:
        raise DatasetError(
            f"the hours in {directory.path} are not those that were prepared",
            "train again, or in Airflow clear the task prepare_data",
        )
    return prepared


def _sample_counts(prepared: PreparedHours) -> Metrics:
    parts = prepared.parts
    return {
        "records_processed": float(len(prepared.hours)),
        "dropped_samples": float(len(prepared.hours) - prepared.samples),
        "train_samples": float(len(parts.train)),
        "valid_samples": float(len(parts.valid)),
        "test_samples": float(len(parts.test)),
    }


def _origin_tags(settings: LakehouseSettings, prepared: PreparedHours) -> dict[str, object]:
    return {
        "dataset_sha256": prepared.sha256,
        "snapshot.silver.power_consumption": power.snapshot_id(Lakehouse(settings)),
        "test_from": iso(prepared.parts.test["event_time_us"][0]),
        "features": ",".join(features.FEATURES),
    }


def _log_training(
    step: MlflowRun, parent: MlflowRun, fitted: FittedModel, settings: TrainingSettings
) -> None:
    for run in (step, parent):
        run.log_params({"model": model.NAME, **model.hyper_parameters(settings)})
        run.log_metrics(
            {"best_iteration": fitted.booster.best_iteration, "val_rmse": min(fitted.valid_rmse)}
        )
    step.log_series("fit_rmse", fitted.fit_rmse)
    step.log_series("valid_rmse", fitted.valid_rmse)
    gains = fitted.booster.feature_importance(importance_type="gain")
    step.log_json(dict(zip(features.FEATURES, map(float, gains), strict=True)), "importances.json")


def _log_evaluation(
    step: MlflowRun, parent: MlflowRun, evaluation: PowerEvaluation, title: str
) -> None:
    verdict = evaluation.verdict
    step.log_json(verdict.as_dict(), "verdict.json")
    step.log_figure(plot.plot_forecast(evaluation.test, title), "forecast.png")
    tags = {
        "gate": "passed" if verdict.gate_pass else "refused",
        "gate_reasons": "; ".join(verdict.reasons) or "none",
    }
    for run in (step, parent):
        run.log_metrics(evaluation.metrics)
        run.set_tags(tags)
