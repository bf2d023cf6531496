"""Steps of a tick training.

aggregate_weekly_features → prepare_training_data → train_model → backtest_model →
register_to_production. Each step may be a separate process; results are passed in the run
directory. Repeating a step is safe: the same data gives the same model, the MLflow run of the step
is resumed, and a training registers one version.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.errors import JobError, RegistryError
from contracts.features import CORE
from contracts.progress import Progress
from models import runtime
from models.export.sklearn_estimator import export_estimator
from models.registry import Registry
from models.runtime import ExportedModel
from models.versions import ModelVersion
from training.run.gate import GateVerdict
from training.run.mlflow_run import EXECUTION_DATE, MlflowRun
from training.run.provenance import PLANTED, all_synthetic, data_source, iso, title_suffix
from training.run.training_run import AT_US, VERDICT, RegisterPolicy, TrainingPipeline, TrainingRun
from training.tick import drift, model
from training.tick.data import manifest
from training.tick.data.dataset import TickDataset, feature_matrix
from training.tick.data.manifest import DatasetManifest
from training.tick.data.saved_dataset import load_dataset, save_dataset
from training.tick.data.split import Split, holdout_split
from training.tick.evaluation.holdout import HoldoutEvaluation, evaluate_holdout
from training.tick.evaluation.walk_forward import WalkForward, validate_walk_forward

PIPELINE = TrainingPipeline("tick", "tick-training", "timeseries", gate_step="backtest_model")
# Entries of the state.
COMPARED_WITH, VERSION, TAGS = "compared_with", "version", "tags"


@dataclass(frozen=True)
class PreparedDataset:
    """The training set, and its split into training rows and hold-out days."""

    dataset: TickDataset
    parts: Split


@dataclass(frozen=True)
class TickEvaluation:
    """Results on rows that the models were not fitted on."""

    walk_forward: WalkForward
    holdout: HoldoutEvaluation


def training_run(settings: Settings, key: str) -> TrainingRun:
    """The training `key`, a name chosen by the caller (e.g. a DAG run)."""
    return TrainingRun(settings, PIPELINE, key)


def aggregate_weekly_features(
    settings: Settings,
    key: str,
    from_us: int,
    to_us: int,
    chunk_us: int,
    at_us: int,
    progress: Progress,
) -> dict[str, int]:
    """Compute the missing or outdated chunks of features in [from_us, to_us), µs UTC.

    `at_us` is the timestamp of the metrics. Returns counts of chunks, rows and ticks. Raises
    JobError if a chunk failed.
    """
    # Here: PyFlink is slow to import, and no other step needs it.
    from feature_store.backfill import run as backfill

    parent = _begin(training_run(settings, key), at_us)
    with parent.reopen(), parent.step_run("aggregate_features") as step:
        result = backfill.run(settings, from_us, to_us, progress, chunk_us=chunk_us)
        step.log_metrics(
            {
                "records_processed": result.ticks,
                "feature_rows": result.rows,
                "chunks_computed": len(result.computed),
                "chunks_unchanged": len(result.unchanged),
                "chunks_failed": len(result.failed),
            }
        )
        step.set_tags({"range_from": iso(from_us), "range_to": iso(to_us)})
        if result.failed:
            chunk, reason = next(iter(result.failed.items()))
            raise JobError(
                f"{len(result.failed)} chunks of features failed; {chunk}: {reason}",
                "run it again: finished chunks are not computed again",
            )
    return {
        "computed": len(result.computed),
        "unchanged": len(result.unchanged),
        "rows": result.rows,
        "ticks": result.ticks,
    }


def prepare_training_data(
    settings: Settings,
    key: str,
    read_dataset: Callable[[], TickDataset],
    at_us: int,
    progress: Progress,
) -> PreparedDataset:
    """Read the training set with `read_dataset` and save it.

    `at_us` (µs UTC) is the timestamp of the metrics. Raises DatasetError if there is too little
    data.
    """
    progress("prepare", 0, 1)
    training = training_run(settings, key)
    parent = _begin(training, at_us)
    with parent.reopen(), parent.step_run("prepare_data") as step:
        dataset = read_dataset()
        _pin_snapshots(settings, dataset, parent.run_id)
        description = manifest.describe_dataset(dataset, settings)
        began_us = training.directory.require_state(AT_US, "prepare_training_data")
        tags = _origin_tags(dataset, description, began_us)
        for run in (step, parent):
            run.log_json(asdict(description), manifest.MANIFEST_FILE)
            run.set_tags(tags)
        step.log_json(dataset.dropped, "dropped.json")
        parts = _split(settings, dataset)
        counts = {
            "records_processed": len(dataset.frame) + sum(dataset.dropped.values()),
            "purged_samples": parts.left_out,
            "train_samples": len(parts.train),
            "test_samples": len(parts.test),
        }
        for run in (step, parent):
            run.log_metrics(counts)
            run.set_tags({"test_from": iso(parts.test_from_us)})
        save_dataset(training.directory, dataset)
    progress("prepare", 1, 1)
    return PreparedDataset(dataset, parts)


def train_model(settings: Settings, key: str, progress: Progress) -> ExportedModel:
    """Fit the forest and export it into the run directory.

    Raises DatasetError before `prepare_training_data`, RegistryError if the exported model's
    forecasts differ from the forest's.
    """
    progress("train", 0, 1)
    training = training_run(settings, key)
    dataset = load_dataset(training.directory)
    parent = training.parent_run()
    parts = _split(settings, dataset)
    with parent.reopen():
        with parent.step_run("train_model") as step:
            exported = _fit_and_export(training, dataset, parts, step, progress)
        loaded = runtime.load_model(exported.folder, exported.digest)
        forecast = loaded.predict(feature_matrix(parts.test))
        parent.log_json(drift.build_reference(parts.train, forecast), drift.REFERENCE_FILE)
    training.save_model(exported)
    return exported


def backtest_model(settings: Settings, key: str, progress: Progress) -> TickEvaluation:
    """Run the walk-forward validation, then evaluate the exported model on the hold-out days.

    `register_to_production` follows the verdict. Raises DatasetError before `train_model`.
    """
    training = training_run(settings, key)
    exported = training.saved_model()
    dataset = load_dataset(training.directory)
    parts = _split(settings, dataset)
    suffix = title_suffix(dataset.symbols)
    parent = training.parent_run()
    with parent.reopen():
        walk_forward = validate_walk_forward(settings, parts, parent, suffix, progress)
        progress("backtest", 0, 1)
        production = Registry(settings).production_version()
        holdout = evaluate_holdout(settings, parts, exported, parent, suffix)
    report = holdout.at_gate_cost.report
    training.directory.update_state(
        **{
            VERDICT: holdout.verdict.as_dict(),
            COMPARED_WITH: production.version if production else None,
            TAGS: {
                "sharpe": f"{report.sharpe:.4f}",
                "max_drawdown": f"{report.max_drawdown:.4f}",
            },
        }
    )
    progress("backtest", 1, 1)
    return TickEvaluation(walk_forward, holdout)


def register_to_production(settings: Settings, key: str) -> tuple[GateVerdict, str | None]:
    """Register and promote a model that passed the gate; a refused one is not registered.

    Returns the verdict and the Production version, None if refused. One training registers one
    version, even if it is repeated after a kill. Raises DatasetError before `backtest_model`,
    RegistryError if Production has changed since then.
    """
    training = training_run(settings, key)
    verdict = training.saved_verdict()
    version = None
    with training.parent_run().closing():
        if verdict.gate_pass:
            version = _register(training, verdict)
    training.directory.update_state(**{VERSION: version})
    return verdict, version


def _register(training: TrainingRun, verdict: GateVerdict) -> str | None:
    settings = training.settings
    run_id = training.parent_run().run_id
    digest = training.saved_model().digest
    compared_with = training.directory.require_state(COMPARED_WITH, "backtest_model")

    def refuse_if_production_changed(production: ModelVersion | None, version: str | None) -> bool:
        """True if Production is this training's version, or what it was compared with, or none."""
        if production is not None and production.version not in (version, compared_with):
            raise RegistryError(
                f"version {production.version} became Production since the backtest",
                "train again, or in Airflow clear the task backtest_model",
            )
        return True

    policy = RegisterPolicy(
        find_version=lambda: Registry(settings).find_version_of_run(run_id, digest),
        may_replace=refuse_if_production_changed,
    )
    tags = training.directory.require_state(TAGS, "backtest_model")
    return training.register(verdict, tags, policy).version


def _begin(training: TrainingRun, at_us: int) -> MlflowRun:
    """The parent run; creates it if this is the first step.

    The command line has no aggregation step.
    """
    return training.begin(at_us, {EXECUTION_DATE: iso(at_us)})


def _fit_and_export(
    training: TrainingRun, dataset: TickDataset, parts: Split, step: MlflowRun, progress: Progress
) -> ExportedModel:
    settings = training.settings
    step.log_params(
        {"model": model.NAME, "seed": settings.seed, "features": len(CORE), **model.FOREST}
    )
    x = feature_matrix(parts.train)
    estimator = model.fit_forest(x, parts.train["y"].to_numpy(), settings, progress)
    exported = export_estimator(
        estimator,
        feature_matrix(parts.test),
        training.directory.model,
        features=CORE,
        trained_on=data_source(dataset.symbols),
        trained_to_us=int(parts.train["exit_us"].max()),  # type: ignore[arg-type]
        horizon_s=settings.horizon_s,
        seed=settings.seed,
    )
    step.log_metrics({"train_samples": len(x), "onnx_difference_max": exported.difference})
    importances = map(float, estimator.feature_importances_)
    step.log_json(dict(zip(CORE, importances, strict=True)), "importances.json")
    return exported


def _pin_snapshots(settings: Settings, dataset: TickDataset, run_id: str) -> None:
    """Tag the snapshots that were read, so that `tick dataset rebuild` can read them again."""
    # Here: PyIceberg is slow to import, and no other step needs it.
    from lakehouse import snapshots
    from lakehouse.schemas import GOLD, SILVER
    from lakehouse.tables import Lakehouse

    read = {name: dataset.snapshots[name] for name in (SILVER, GOLD) if name in dataset.snapshots}
    snapshots.pin(Lakehouse(settings), read, f"training-{run_id}")


def _split(settings: TrainingSettings, dataset: TickDataset) -> Split:
    return holdout_split(
        dataset.frame, settings.test_days, settings.embargo_share, settings.decision_grid_s
    )


def _origin_tags(dataset: TickDataset, description: DatasetManifest, at_us: int) -> dict[str, str]:
    tags = {
        "dataset_sha256": dataset.fingerprint,
        "data_source": data_source(dataset.symbols),
        "symbols": ",".join(dataset.symbols),
        "range_from": iso(description.from_us),
        "range_to": iso(description.to_us),
        EXECUTION_DATE: iso(at_us),  # also as a tag, because tables of runs show tags only
    }
    tags |= {f"snapshot.{table}": str(snapshot) for table, snapshot in dataset.snapshots.items()}
    tags |= {f"setting.{name}": str(value) for name, value in description.settings.items()}
    if all_synthetic(dataset.symbols):
        tags["planted signal"] = PLANTED
    return tags
