"""The tick pipeline: dataset → split → train → walk forward → judge → registered and promoted, or refused with reasons.

One MLflow parent run holds the whole story, with a child run per step: prepare_data, train_model, walk_forward (and in it one per
fold), backtest.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.clock import now_us
from contracts.features import CORE
from contracts.settings import Settings
from contracts.tick import EVENT_TIME_US_MIN
from models import registry, runtime
from models.export import export
from training import backtest, datasets, drift, judgement, model, recipe, split, tracks, walk_forward
from training.datasets import Dataset
from training.gate import Verdict
from training.judgement import Judgement
from training.model import Progress, no_progress
from training.origin import PLANTED, iso, planted, source, warning
from training.split import Split
from training.tracks import Track
from training.walk_forward import WalkForward


@dataclass(frozen=True)
class TrainResult:
    """How a training ended. `reports`: backtest numbers by one-way cost in bp; `rivals`: the challenger's and the baselines' by
    name, at the gate's cost, on the same days. `walk_forward`: the folds before those days.

    `version` is the new Production version, None when refused. `planted`: every symbol is of the synthetic exchange.
    `trials`: trainings of this experiment that the deflated Sharpe `dsr` counts, this one included.
    """

    run_id: str
    verdict: Verdict
    version: str | None
    reports: dict[float, backtest.Report]
    rivals: dict[str, backtest.Report]
    walk_forward: WalkForward
    train_rows: int
    test_rows: int
    trained_on: str
    planted: bool
    dsr: float
    trials: int
    sharpe_interval: tuple[float, float]

    @property
    def promoted(self) -> bool:
        """Whether the model is Production now."""
        return self.version is not None


def train_tick(settings: Settings, from_us: int | None = None, to_us: int | None = None, progress: Progress | None = None) -> TrainResult:
    """Train, judge and maybe promote on decisions in [from, to), µs UTC; default is everything up to now.

    Raises DatasetError or RegistryError; a refusal by the gate is a result, not an error.
    """
    at_us = now_us()
    first, last = from_us or EVENT_TIME_US_MIN, to_us or at_us
    return train(settings, lambda: datasets.load(settings, first, last), at_us, progress or no_progress)


def train(settings: Settings, prepare: Callable[[], Dataset], at_us: int, progress: Progress = no_progress) -> TrainResult:
    """`train_tick` on a dataset from anywhere; `at_us` is the time that the runs carry."""
    track = tracks.start(settings, "tick-training", at_us)
    with track.ending(), tempfile.TemporaryDirectory() as scratch:
        dataset, parts = _prepare(settings, prepare, track, progress)
        exported = _train(settings, dataset, parts, Path(scratch) / "model", track, progress)
        forecast = runtime.load(exported.folder, exported.digest).predict(datasets.matrix(parts.test))
        track.document(drift.reference(parts.train, forecast), drift.FILE)
        walked = walk_forward.run(settings, parts, track, warning(dataset.symbols), progress)
        progress("backtest", 0, 1)
        judged = judgement.judge(settings, parts, exported, track, warning(dataset.symbols))
        version = _settle(settings, judged, exported, track)
        progress("backtest", 1, 1)
        return _result(track.run_id, dataset, parts, walked, judged, version)


def _prepare(settings: Settings, prepare: Callable[[], Dataset], track: Track, progress: Progress) -> tuple[Dataset, Split]:
    progress("prepare", 0, 1)
    with track.child("prepare_data") as child:
        dataset = prepare()
        made = recipe.of(dataset, settings)
        for each in (child, track):
            each.document(asdict(made), recipe.DOCUMENT)
            each.tags(_facts(dataset, made, track.at_ms * 1000))
        child.document(dataset.dropped, "dropped.json")
        parts = split.holdout(dataset.frame, settings.test_days, settings.embargo, settings.decision_grid_s)
        counts = {"records_processed": len(dataset.frame) + sum(dataset.dropped.values()), "purged_samples": parts.purged}
        counts |= {"train_samples": len(parts.train), "test_samples": len(parts.test)}
        for each in (child, track):
            each.metrics(counts)
            each.tags({"test_from": iso(parts.test_from_us)})
    progress("prepare", 1, 1)
    return dataset, parts


def _facts(dataset: Dataset, made: recipe.Recipe, at_us: int) -> dict[str, str]:
    """The tags that say what was trained on."""
    facts = {"dataset_sha256": dataset.fingerprint, "data_source": source(dataset.symbols), "symbols": ",".join(dataset.symbols)}
    facts |= {f"snapshot.{table}": str(snapshot) for table, snapshot in dataset.snapshots.items()}
    facts |= {f"setting.{name}": str(value) for name, value in made.settings.items()}
    facts |= {"range_from": iso(made.from_us), "range_to": iso(made.to_us), "execution_date": iso(at_us)}
    return facts | ({"planted signal": PLANTED} if planted(dataset.symbols) else {})


def _train(settings: Settings, dataset: Dataset, parts: Split, folder: Path, track: Track, progress: Progress) -> runtime.Exported:
    progress("train", 0, 1)
    with track.child("train_model") as child:
        child.params({"model": model.NAME, "seed": settings.seed, "features": len(CORE), **model.FOREST})
        x, y = datasets.matrix(parts.train), parts.train["y"].to_numpy()
        estimator = model.fit(x, y, settings, progress)
        exported = export(
            estimator,
            datasets.matrix(parts.test),
            folder,
            features=CORE,
            trained_on=source(dataset.symbols),
            trained_to_us=int(parts.train["exit_us"].max()),  # type: ignore[arg-type]
            horizon_s=settings.horizon_s,
            seed=settings.seed,
        )
        child.metrics({"train_samples": len(x), "onnx_difference_max": exported.difference})
        child.document(dict(zip(CORE, map(float, estimator.feature_importances_), strict=True)), "importances.json")
    return exported


def _settle(settings: Settings, judged: Judgement, exported: runtime.Exported, track: Track) -> str | None:
    """Register and promote what passed; what did not stays in its run, with its reasons, and never enters the registry."""
    if not judged.verdict.gate_pass:
        return None
    report = judged.main.report
    tags = {registry.PASSED: "true", "sharpe": f"{report.sharpe:.4f}", "max_drawdown": f"{report.max_drawdown:.4f}"}
    version = registry.register(settings, exported, track.run_id, tags)
    registry.promote(settings, version)
    track.tags({"registered_version": version})
    return version


def _result(run_id: str, dataset: Dataset, parts: Split, walked: WalkForward, judged: Judgement, version: str | None) -> TrainResult:
    return TrainResult(
        run_id,
        judged.verdict,
        version,
        {cost: test.report for cost, test in judged.tests.items()},
        {name: test.report for name, test in judged.rivals.items()},
        walked,
        len(parts.train),
        len(parts.test),
        source(dataset.symbols),
        planted(dataset.symbols),
        judged.dsr,
        judged.trials,
        judged.sharpe_interval,
    )
