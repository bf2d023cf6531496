"""Walk-forward validation: forest, challenger and baselines, each trained again for every fold and
tested on the block after it.

It is evidence alongside the gate, which alone decides: the gate's days are in no fold. One nested
MLflow run per fold.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from contracts.config.settings import Settings
from contracts.progress import Progress
from training.run.mlflow_run import Track
from training.run.provenance import iso
from training.tick import backtest, baselines, dataset, folds, model, plots
from training.tick.backtest import Backtest, Floats, Report
from training.tick.split import Split

# Of the forest in a fold, for half the price of 100: ICs of .022, .043, .029 against .020, .049,
# .034 on a weak planted signal.
TREES = 50
SHOWN = ("sharpe", "max_drawdown", "ic", "rank_ic", "turnover", "hit_rate")


@dataclass(frozen=True)
class Fold:
    """One fold's split without its rows, and the report of each forecast by name, at the gate's
    cost. Times are µs UTC.
    """

    number: int
    train_rows: int
    test_rows: int
    purged: int
    test_from_us: int
    test_to_us: int
    reports: dict[str, Report]

    def plain(self) -> dict[str, Any]:
        """The fold as JSON knows it."""
        facts = {name: value for name, value in vars(self).items() if name != "reports"}
        return {
            **facts,
            "test_from": iso(self.test_from_us),
            "reports": {name: each.plain() for name, each in self.reports.items()},
        }


@dataclass(frozen=True)
class WalkForward:
    """All folds, and per forecast the report over their test rows joined; `note` says why there are
    fewer than wanted.
    """

    folds: list[Fold]
    joined: dict[str, Report]
    note: str

    def numbers(self) -> dict[str, float]:
        """Metrics of the parent run."""
        numbers = {f"walk_forward.{key}": value for key, value in _numbers(self.joined).items()}
        return {"walk_forward.folds": float(len(self.folds)), **numbers}


def run(
    settings: Settings, parts: Split, track: Track, title: str, progress: Progress
) -> WalkForward:
    """Validate on `parts.train`, the rows before the gate's days; logged below `track` as child
    `walk_forward`.
    """
    cut = folds.cut(parts.train, settings.walk_forward_folds, parts.embargo_us)
    with track.step("walk_forward") as child:
        child.params(
            {
                "folds": len(cut),
                "embargo_s": parts.embargo_us // dataset.SECOND_US,
                "seed": settings.seed,
            }
        )
        child.params(
            {
                f"{model.NAME}.{key}": value
                for key, value in {**model.FOREST, "n_estimators": TREES}.items()
            }
        )
        child.params(
            {
                f"{baselines.NAME}.{key}": value
                for key, value in {**baselines.BOOSTER, "rounds": baselines.ROUNDS}.items()
            }
        )
        done, guesses = [], []
        for number, split in enumerate(cut, start=1):
            guesses.append(forecasts(split, settings))
            done.append(_fold(settings, number, split, guesses[-1], child))
            progress("walk forward", number, len(cut))
        joined = _join(settings, cut, guesses)
        reports = {name: each.report for name, each in joined.items()}
        result = WalkForward(done, reports, folds.shortfall(len(cut), settings.walk_forward_folds))
        _log(result, joined, child, track, title)
    return result


def forecasts(split: Split, settings: Settings) -> dict[str, Floats]:
    """Forecasts of the split's test rows by name, the forest's first."""
    x, y = dataset.matrix(split.train), split.train["y"].to_numpy()
    forest = model.forest(settings).set_params(n_estimators=TREES).fit(x.astype(np.float32), y)
    forest.set_params(
        n_jobs=1
    )  # several threads would add the trees up in any order, and the last digit would vary
    return {
        model.NAME: forest.predict(dataset.matrix(split.test).astype(np.float32)),
        **baselines.rivals(split, settings),
    }


def _fold(
    settings: Settings, number: int, split: Split, guesses: dict[str, Floats], parent: Track
) -> Fold:
    reports = {
        name: backtest.run(split.test, guess, settings.cost_bp, settings).report
        for name, guess in guesses.items()
    }
    fold = Fold(
        number,
        len(split.train),
        len(split.test),
        split.purged,
        split.test_from_us,
        split.test_to_us,
        reports,
    )
    trained_to_us = int(split.train["exit_us"].max())  # type: ignore[arg-type]
    with parent.step(f"fold_{number}") as child:
        child.tags(
            {
                "trained_to": iso(trained_to_us),
                "test_from": iso(fold.test_from_us),
                "test_to": iso(fold.test_to_us),
            }
        )
        child.metrics(
            {
                "train_samples": fold.train_rows,
                "test_samples": fold.test_rows,
                "purged_samples": fold.purged,
            }
        )
        child.metrics(_numbers(reports))
    return fold


def _join(
    settings: Settings, cut: list[Split], guesses: list[dict[str, Floats]]
) -> dict[str, Backtest]:
    """One backtest per forecast through all test blocks, which follow each other without a gap:
    positions are carried over borders.
    """
    if not cut:
        return {}
    rows = pl.concat(split.test for split in cut)
    return {
        name: backtest.run(
            rows, np.concatenate([each[name] for each in guesses]), settings.cost_bp, settings
        )
        for name in guesses[0]
    }


def _numbers(reports: dict[str, Report]) -> dict[str, float]:
    return {
        f"{key}.{name}": report.numbers()[key] for name, report in reports.items() for key in SHOWN
    }


def _log(
    result: WalkForward, joined: dict[str, Backtest], child: Track, track: Track, title: str
) -> None:
    table = {"folds": [fold.plain() for fold in result.folds], "note": result.note}
    child.document(
        {**table, "joined": {name: report.plain() for name, report in result.joined.items()}},
        "walk_forward.json",
    )
    child.metrics(_numbers(result.joined))
    track.metrics(result.numbers())
    for each in (child, track):
        each.tags({"walk_forward": result.note or f"{len(result.folds)} folds"})
    if joined:
        child.picture(
            plots.equity_curve(joined, f"walk-forward, all folds joined{title}"), "walk_forward.png"
        )
