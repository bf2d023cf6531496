"""The tick pipeline: dataset → split → train → backtest → gate → registered and promoted, or refused with reasons.

One MLflow parent run holds the whole story, with a child run for each of the steps prepare_data, train_model, backtest.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from contracts.clock import now_us
from contracts.errors import RegistryError
from contracts.features import CORE
from contracts.settings import Settings
from contracts.tick import EVENT_TIME_US_MIN
from models import registry, runtime
from models.export import export
from training import backtest, datasets, gate, metrics, model, picture, split, tracks
from training.backtest import Backtest, Floats
from training.datasets import Dataset
from training.gate import Verdict
from training.model import Progress, no_progress
from training.split import Split
from training.tracks import Track

SYNTHETIC_VENUE = "SYNTH"
PLANTED = "planted signal: no impact, no capacity; such Sharpes do not exist in a market"


@dataclass(frozen=True)
class TrainResult:
    """How a training ended. `reports`: backtest numbers by one-way cost in bp; `baselines`: the same by name, at the gate's cost.

    `version` is the new Production version, None when refused. `planted`: every symbol is of the synthetic exchange.
    """

    run_id: str
    verdict: Verdict
    version: str | None
    reports: dict[float, backtest.Report]
    baselines: dict[str, backtest.Report]
    train_rows: int
    test_rows: int
    trained_on: str
    planted: bool
    dsr: float
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
        return _judge(settings, dataset, parts, exported, track, progress)


def _prepare(settings: Settings, prepare: Callable[[], Dataset], track: Track, progress: Progress) -> tuple[Dataset, Split]:
    progress("prepare", 0, 1)
    with track.child("prepare_data") as child:
        dataset = prepare()
        parts = split.holdout(dataset.frame, settings.test_days, settings.embargo, settings.decision_grid_s)
        counts = {"records_processed": len(dataset.frame) + sum(dataset.dropped.values()), "purged_samples": parts.purged}
        counts |= {"train_samples": len(parts.train), "test_samples": len(parts.test)}
        facts = {"dataset_sha256": dataset.fingerprint, "data_source": source(dataset.symbols), "symbols": ",".join(dataset.symbols)}
        facts |= {f"snapshot.{table}": str(snapshot) for table, snapshot in dataset.snapshots.items()}
        facts |= {"test_from": _iso(parts.test_from_us), "execution_date": _iso(track.at_ms * 1000)}
        if planted(dataset.symbols):
            facts["planted signal"] = PLANTED
        child.document(dataset.dropped, "dropped.json")
        for each in (child, track):
            each.metrics(counts)
            each.tags(facts)
    progress("prepare", 1, 1)
    return dataset, parts


def _train(settings: Settings, dataset: Dataset, parts: Split, folder: Path, track: Track, progress: Progress) -> runtime.Exported:
    progress("train", 0, 1)
    with track.child("train_model") as child:
        child.params({"model": "random_forest", "seed": settings.seed, "features": len(CORE), **model.FOREST})
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


def _judge(settings: Settings, dataset: Dataset, parts: Split, exported: runtime.Exported, track: Track, progress: Progress) -> TrainResult:
    progress("backtest", 0, 1)
    with track.child("backtest") as child:
        tests, baselines = _backtests(settings, parts, exported)
        main = tests[settings.cost_bp]
        trials = np.array([*tracks.earlier(track, "sharpe_minute"), main.report.sharpe_minute])
        beside = {"deflated_sharpe": metrics.dsr(main.pnl, trials), "trials": float(len(trials))}
        interval = metrics.sharpe_interval(main.pnl, settings.seed)
        beside |= {"sharpe_low": interval[0], "sharpe_high": interval[1]}
        incumbent, obstacles = _incumbent(settings, parts.test)
        report = main.report
        verdict = gate.judge(report.sharpe, report.max_drawdown, report.psr, report.days, report.trades, incumbent, obstacles)
        _log(child, track, verdict, tests, baselines, beside, settings.cost_bp)
        title = "net equity on unseen days" + (" (planted signal: not a market)" if planted(dataset.symbols) else "")
        curves = {f"{cost:g} bp one way": test for cost, test in tests.items()}
        child.picture(picture.equity_curve(curves, title), "equity_curve.png")
    version = _settle(settings, verdict, exported, track, report)
    progress("backtest", 1, 1)
    return TrainResult(
        track.run_id,
        verdict,
        version,
        {cost: test.report for cost, test in tests.items()},
        {name: test.report for name, test in baselines.items()},
        len(parts.train),
        len(parts.test),
        source(dataset.symbols),
        planted(dataset.symbols),
        beside["deflated_sharpe"],
        interval,
    )


def _backtests(settings: Settings, parts: Split, exported: runtime.Exported) -> tuple[dict[float, Backtest], dict[str, Backtest]]:
    """The model at every cost, from the converted file that Production would run, and the baselines at the gate's cost."""
    x = datasets.matrix(parts.test)
    forecast = runtime.load(exported.folder, exported.digest).predict(x)
    costs = sorted({*backtest.COSTS_BP, settings.cost_bp})
    tests = {cost: backtest.run(parts.test, forecast, cost, settings) for cost in costs}
    naive = model.baselines(datasets.matrix(parts.train), parts.train["y"].to_numpy(), x)
    return tests, {name: backtest.run(parts.test, guess, settings.cost_bp, settings) for name, guess in naive.items()}


def _incumbent(settings: Settings, test: pl.DataFrame) -> tuple[float | None, tuple[str, ...]]:
    """Sharpe of the Production model on these very rows; one that never trades has 0. Not comparable is an obstacle."""
    if registry.current(settings) is None:
        return None, ()
    try:
        found = registry.production(settings)
        known = runtime.load(found.path, found.digest, found.name, found.version)
        missing = set(known.features) - set(test.columns)
        if missing:
            raise RegistryError(f"it needs {sorted(missing)}, which the dataset no longer has")
    except RegistryError as error:
        return None, (f"the Production model cannot be compared: {error.message} (`tick model rollback` or `retire`)",)
    forecast: Floats = known.predict(test.select(known.features).to_numpy())
    report = backtest.run(test, forecast, settings.cost_bp, settings).report
    return (report.sharpe if report.trades else 0.0), ()


def _log(
    child: Track,
    track: Track,
    verdict: Verdict,
    tests: dict[float, Backtest],
    baselines: dict[str, Backtest],
    beside: dict[str, float],
    cost_bp: float,
) -> None:
    numbers = tests[cost_bp].report.numbers() | beside
    numbers |= {"threshold_pass": float(verdict.threshold_pass), "gate_pass": float(verdict.gate_pass)}
    by_name = {f"{cost:g}bp": test for cost, test in tests.items()} | baselines
    for name, test in by_name.items():
        numbers |= {f"sharpe.{name}": test.report.sharpe, f"ic.{name}": test.report.ic}
    child.document(verdict.as_dict(), "verdict.json")
    child.document({name: test.report.plain() for name, test in by_name.items()}, "reports.json")
    for each in (child, track):
        each.metrics(numbers)
        each.tags({"gate": "passed" if verdict.gate_pass else "refused", "gate_reasons": "; ".join(verdict.reasons) or "none"})


def _settle(settings: Settings, verdict: Verdict, exported: runtime.Exported, track: Track, report: backtest.Report) -> str | None:
    """Register and promote what passed; what did not stays in its run, with its reasons, and never enters the registry."""
    if not verdict.gate_pass:
        return None
    tags = {registry.PASSED: "true", "sharpe": f"{report.sharpe:.4f}", "max_drawdown": f"{report.max_drawdown:.4f}"}
    version = registry.register(settings, exported, track.run_id, tags)
    registry.promote(settings, version)
    track.tags({"registered_version": version})
    return version


def planted(symbols: list[str]) -> bool:
    """Whether all of VENUE:SYMBOL come from the synthetic exchange."""
    return all(symbol.startswith(f"{SYNTHETIC_VENUE}:") for symbol in symbols)


def source(symbols: list[str]) -> str:
    """What a model was trained on, as its answers say it: `synthetic`, or the venues."""
    return "synthetic" if planted(symbols) else ",".join(sorted({symbol.partition(":")[0] for symbol in symbols}))


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat()
