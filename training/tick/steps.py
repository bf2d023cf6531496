"""The steps of a tick training; each may be a separate process: aggregate_weekly_features →
prepare_training_data → train_model → backtest_model → register_to_production. What one leaves the
next finds in the run folder.

Repeating a step changes nothing: the same data gives the same model, a step's MLflow run goes on,
one training makes one version.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from contracts.config.settings import Settings
from contracts.errors import JobError, RegistryError
from contracts.features import CORE
from contracts.progress import Progress
from models import registry, runtime
from models.export import export
from training.run import directory, mlflow_run, state
from training.run.directory import Folder
from training.run.gate import Verdict
from training.run.mlflow_run import Track
from training.run.provenance import PLANTED, iso, planted, source, warning
from training.tick import dataset as datasets
from training.tick import (
    dataset_manifest,
    drift,
    evaluation,
    model,
    split,
    stored_dataset,
    walk_forward,
)
from training.tick.dataset import Dataset
from training.tick.evaluation import Judgement
from training.tick.split import Split
from training.tick.walk_forward import WalkForward

PIPELINE, RUN_NAME, MODEL_TYPE = "tick", "tick-training", "timeseries"
VERDICT, COMPARED, VERSION = "verdict", "compared_with", "version"


@dataclass(frozen=True)
class Prepared:
    """The rows, and their parts: those to learn from and the untouched days."""

    dataset: Dataset
    parts: Split


@dataclass(frozen=True)
class Tested:
    """What was found out on rows that the model never saw."""

    walked: WalkForward
    judged: Judgement


def of(settings: Settings, key: str) -> Folder:
    """The run folder of a training; `key` is a name of the caller's choice, such as a DAG run's."""
    return Folder(directory.place(settings, PIPELINE, key))


def aggregate_weekly_features(
    settings: Settings,
    key: str,
    from_us: int,
    to_us: int,
    chunk_us: int,
    at_us: int,
    progress: Progress,
) -> dict[str, int]:
    """Compute the missing or changed chunks of the features of [from, to) µs; `at_us` is the time
    that the runs carry.

    Raises JobError when chunks failed.
    """
    from feature_store.backfill import (
        run as backfill,
    )  # here: PyFlink is slow to import, and no other step needs it

    track = _begin(settings, of(settings, key), at_us)
    with track.going_on(), track.step("aggregate_features") as child:
        done = backfill.run(settings, from_us, to_us, progress, chunk_us=chunk_us)
        counts = {
            "chunks_computed": len(done.computed),
            "chunks_unchanged": len(done.unchanged),
            "chunks_failed": len(done.failed),
        }
        child.metrics({"records_processed": done.ticks, "feature_rows": done.rows, **counts})
        child.tags({"range_from": iso(from_us), "range_to": iso(to_us)})
        if done.failed:
            chunk, why = next(iter(done.failed.items()))
            raise JobError(
                f"{len(done.failed)} chunks of features failed; {chunk}: {why}",
                "run it again: what is done stays done",
            )
    return {
        "computed": len(done.computed),
        "unchanged": len(done.unchanged),
        "rows": done.rows,
        "ticks": done.ticks,
    }


def prepare_training_data(
    settings: Settings, key: str, prepare: Callable[[], Dataset], at_us: int, progress: Progress
) -> Prepared:
    """Make the training set and keep it; `at_us` is the time that the runs carry. Raises
    DatasetError.
    """
    progress("prepare", 0, 1)
    at = of(settings, key)
    track = _begin(settings, at, at_us)
    with track.going_on(), track.step("prepare_data") as child:
        dataset = prepare()
        made = dataset_manifest.of(dataset, settings)
        for each in (child, track):
            each.document(asdict(made), dataset_manifest.DOCUMENT)
            each.tags(_facts(dataset, made, at.need(state.AT, "prepare_training_data")))
        child.document(dataset.dropped, "dropped.json")
        parts = _split(settings, dataset)
        counts = {
            "records_processed": len(dataset.frame) + sum(dataset.dropped.values()),
            "purged_samples": parts.purged,
        }
        counts |= {"train_samples": len(parts.train), "test_samples": len(parts.test)}
        for each in (child, track):
            each.metrics(counts)
            each.tags({"test_from": iso(parts.test_from_us)})
        stored_dataset.store(at, dataset)
    progress("prepare", 1, 1)
    return Prepared(dataset, parts)


def train_model(settings: Settings, key: str, progress: Progress) -> runtime.Exported:
    """Fit the forest and seal it in the run folder. Raises DatasetError or RegistryError."""
    progress("train", 0, 1)
    at = of(settings, key)
    dataset, track = stored_dataset.load(at), state.track(settings, at)
    parts = _split(settings, dataset)
    with track.going_on():
        with track.step("train_model") as child:
            exported = _fit(settings, dataset, parts, at, child, progress)
        forecast = runtime.load(exported.folder, exported.digest).predict(
            datasets.matrix(parts.test)
        )
        track.document(drift.reference(parts.train, forecast), drift.FILE)
    state.keep(at, exported)
    return exported


def backtest_model(settings: Settings, key: str, progress: Progress) -> Tested:
    """Walk forward, then judge the sealed model on the untouched days. Its verdict decides what
    `register_to_production` does.
    """
    at = of(settings, key)
    exported, dataset, track = state.kept(at), stored_dataset.load(at), state.track(settings, at)
    parts, title = _split(settings, dataset), warning(dataset.symbols)
    with track.going_on():
        walked = walk_forward.run(settings, parts, track, title, progress)
        progress("backtest", 0, 1)
        incumbent = registry.current(settings)
        judged = evaluation.judge(settings, parts, exported, track, title)
    report = judged.main.report
    tags = {"sharpe": f"{report.sharpe:.4f}", "max_drawdown": f"{report.max_drawdown:.4f}"}
    at.note(
        **{
            VERDICT: judged.verdict.as_dict(),
            COMPARED: incumbent.version if incumbent else None,
            "tags": tags,
        }
    )
    progress("backtest", 1, 1)
    return Tested(walked, judged)


def register_to_production(settings: Settings, key: str) -> tuple[Verdict, str | None]:
    """Register and promote what passed the gate; what did not stays in its run, with its reasons.
    Returns the Production version.

    A kill leaves no half of it: the version carries all its tags from its first moment, the alias
    moves last, and the next try finds the version that this training has made. Raises RegistryError
    when Production is no longer the model it was compared with.
    """
    at = of(settings, key)
    verdict, track, version = (
        Verdict.of(at.need(VERDICT, "backtest_model")),
        state.track(settings, at),
        None,
    )
    with track.ending():
        if verdict.gate_pass:
            version = _settle(settings, at, track)
            track.tags({"registered_version": version})
    at.note(**{VERSION: version})
    return verdict, version


def _begin(settings: Settings, at: Folder, at_us: int) -> Track:
    """The parent run, whichever step is the first."""
    return state.begin(
        settings,
        at,
        RUN_NAME,
        at_us,
        {mlflow_run.MODEL_TYPE: MODEL_TYPE, mlflow_run.EXECUTION_DATE: iso(at_us)},
    )


def _settle(settings: Settings, at: Folder, track: Track) -> str:
    exported, now = state.kept(at), registry.current(settings)
    # 1. One version per training.
    mine = registry.of_run(settings, track.run_id, exported.digest)
    if now is not None and now.version not in (mine, at.need(COMPARED, "backtest_model")):
        message = f"version {now.version} became Production since the backtest"
        raise RegistryError(message, "run backtest_model again: it compares with that one")
    tags = {registry.PASSED: "true", **at.need("tags", "backtest_model")}
    version = mine or registry.register(settings, exported, track.run_id, tags)
    # 2. Production.
    registry.promote(settings, version)
    return version


def _fit(
    settings: Settings, dataset: Dataset, parts: Split, at: Folder, child: Track, progress: Progress
) -> runtime.Exported:
    child.params(
        {"model": model.NAME, "seed": settings.seed, "features": len(CORE), **model.FOREST}
    )
    x, y = datasets.matrix(parts.train), parts.train["y"].to_numpy()
    estimator = model.fit(x, y, settings, progress)
    exported = export(
        estimator,
        datasets.matrix(parts.test),
        at.model,
        features=CORE,
        trained_on=source(dataset.symbols),
        trained_to_us=int(parts.train["exit_us"].max()),  # type: ignore[arg-type]
        horizon_s=settings.horizon_s,
        seed=settings.seed,
    )
    child.metrics({"train_samples": len(x), "onnx_difference_max": exported.difference})
    child.document(
        dict(zip(CORE, map(float, estimator.feature_importances_), strict=True)), "importances.json"
    )
    return exported


def _split(settings: Settings, dataset: Dataset) -> Split:
    return split.holdout(
        dataset.frame, settings.test_days, settings.embargo_share, settings.decision_grid_s
    )


def _facts(dataset: Dataset, made: dataset_manifest.Recipe, at_us: int) -> dict[str, str]:
    """The tags that say what was trained on."""
    facts = {
        "dataset_sha256": dataset.fingerprint,
        "data_source": source(dataset.symbols),
        "symbols": ",".join(dataset.symbols),
    }
    facts |= {f"snapshot.{table}": str(snapshot) for table, snapshot in dataset.snapshots.items()}
    facts |= {f"setting.{name}": str(value) for name, value in made.settings.items()}
    facts |= {
        "range_from": iso(made.from_us),
        "range_to": iso(made.to_us),
        "execution_date": iso(at_us),
    }
    return facts | ({"planted signal": PLANTED} if planted(dataset.symbols) else {})
