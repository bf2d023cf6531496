"""Walk-forward validation: all forecasters are fitted again for each fold.

It is reported and does not influence the gate, whose hold-out days are in no fold. Each fold is a
nested MLflow run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from contracts.config.groups.training import TrainingSettings
from contracts.config.settings import Settings
from contracts.durations import SECOND_US
from contracts.progress import Progress
from training.run.mlflow_run import MlflowRun
from training.run.provenance import iso
from training.tick import baselines, model
from training.tick.data import dataset, folds
from training.tick.data.split import Split
from training.tick.evaluation import plots
from training.tick.evaluation.backtest import Backtest, BacktestReport, backtest_forecast
from training.tick.evaluation.metrics import Floats

# Half the cost of 100 trees, at almost the same information coefficients (decision 13).
TREES = 50
FOLD_METRICS = ("sharpe", "max_drawdown", "ic", "rank_ic", "turnover", "hit_rate")


@dataclass(frozen=True)
class FoldReport:
    """Size and period of a fold (µs UTC), and the report of each forecast at the gate's cost."""

    number: int
    train_rows: int
    test_rows: int
    left_out: int
    test_from_us: int
    test_to_us: int
    reports: dict[str, BacktestReport]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        fields = vars(self) | {
            "purged": self.left_out,
            "test_from": iso(self.test_from_us),
            "reports": {name: report.as_dict() for name, report in self.reports.items()},
        }
        del fields["left_out"]
        return fields


@dataclass(frozen=True)
class WalkForward:
    """All folds, and a report per forecast over their test rows joined.

    `note` tells why there are fewer folds than the setting; empty if there are not.
    """

    folds: list[FoldReport]
    joined: dict[str, BacktestReport]
    note: str

    def metrics(self) -> dict[str, float]:
        """Metrics for the parent run."""
        joined = {f"walk_forward.{name}": value for name, value in _metrics(self.joined).items()}
        return {"walk_forward.folds": float(len(self.folds)), **joined}


def validate_walk_forward(
    settings: Settings, parts: Split, parent: MlflowRun, title_suffix: str, progress: Progress
) -> WalkForward:
    """Validate on `parts.train`, and log to the nested run `walk_forward` of `parent`.

    `title_suffix` is appended to the title of the plot.
    """
    splits = folds.cut_folds(parts.train, settings.walk_forward_folds, parts.embargo_us)
    with parent.step_run("walk_forward") as step:
        step.log_params(_params(settings, len(splits), parts.embargo_us))
        reports = []
        forecasts = []
        for number, split in enumerate(splits, start=1):
            forecasts.append(forecast_fold(split, settings))
            reports.append(_evaluate_fold(settings, number, split, forecasts[-1], step))
            progress("walk forward", number, len(splits))
        joined = _backtest_joined(settings, splits, forecasts)
        result = WalkForward(
            reports,
            {name: backtest.report for name, backtest in joined.items()},
            folds.shortfall_note(len(splits), settings.walk_forward_folds),
        )
        _log_result(result, joined, step, parent, title_suffix)
    return result


def forecast_fold(split: Split, settings: TrainingSettings) -> dict[str, Floats]:
    """Forecasts (test rows,) by name, the forest's first."""
    x = dataset.feature_matrix(split.train).astype(np.float32)
    forest = model.build_forest(settings).set_params(n_estimators=TREES)
    forest.fit(x, split.train["y"].to_numpy())
    # Several threads would add the trees in any order, so that the last digit varied.
    forest.set_params(n_jobs=1)
    test = dataset.feature_matrix(split.test).astype(np.float32)
    return {
        model.NAME: forest.predict(test),
        **baselines.comparison_forecasts(split, settings),
    }


def _params(settings: TrainingSettings, fold_count: int, embargo_us: int) -> dict[str, Any]:
    forest = {**model.FOREST, "n_estimators": TREES}
    booster = {**baselines.BOOSTER, "rounds": baselines.ROUNDS}
    return {
        "folds": fold_count,
        "embargo_s": embargo_us // SECOND_US,
        "seed": settings.seed,
        **{f"{model.NAME}.{name}": value for name, value in forest.items()},
        **{f"{baselines.NAME}.{name}": value for name, value in booster.items()},
    }


def _evaluate_fold(
    settings: Settings,
    number: int,
    split: Split,
    forecasts: Mapping[str, Floats],
    parent: MlflowRun,
) -> FoldReport:
    reports = {
        name: backtest_forecast(split.test, forecast, settings.cost_bp, settings).report
        for name, forecast in forecasts.items()
    }
    fold = FoldReport(
        number=number,
        train_rows=len(split.train),
        test_rows=len(split.test),
        left_out=split.left_out,
        test_from_us=split.test_from_us,
        test_to_us=split.test_to_us,
        reports=reports,
    )
    trained_to_us = int(split.train["exit_us"].max())  # type: ignore[arg-type]
    with parent.step_run(f"fold_{number}") as child:
        child.set_tags(
            {
                "trained_to": iso(trained_to_us),
                "test_from": iso(fold.test_from_us),
                "test_to": iso(fold.test_to_us),
            }
        )
        child.log_metrics(
            {
                "train_samples": fold.train_rows,
                "test_samples": fold.test_rows,
                "purged_samples": fold.left_out,
            }
        )
        child.log_metrics(_metrics(reports))
    return fold


def _backtest_joined(
    settings: Settings, splits: Sequence[Split], forecasts: Sequence[Mapping[str, Floats]]
) -> dict[str, Backtest]:
    """One backtest per forecast over all test blocks.

    The blocks are adjacent, so positions are carried from one to the next.
    """
    if not splits:
        return {}
    rows = pl.concat(split.test for split in splits)
    return {
        name: backtest_forecast(
            rows, np.concatenate([fold[name] for fold in forecasts]), settings.cost_bp, settings
        )
        for name in forecasts[0]
    }


def _metrics(reports: Mapping[str, BacktestReport]) -> dict[str, float]:
    return {
        f"{metric}.{name}": report.metrics()[metric]
        for name, report in reports.items()
        for metric in FOLD_METRICS
    }


def _log_result(
    result: WalkForward,
    joined: Mapping[str, Backtest],
    step: MlflowRun,
    parent: MlflowRun,
    title_suffix: str,
) -> None:
    content = {
        "folds": [fold.as_dict() for fold in result.folds],
        "note": result.note,
        "joined": {name: report.as_dict() for name, report in result.joined.items()},
    }
    step.log_json(content, "walk_forward.json")
    step.log_metrics(_metrics(result.joined))
    parent.log_metrics(result.metrics())
    for run in (step, parent):
        run.set_tags({"walk_forward": result.note or f"{len(result.folds)} folds"})
    if joined:
        figure = plots.plot_equity(joined, f"walk-forward, all folds joined{title_suffix}")
        step.log_figure(figure, "walk_forward.png")
