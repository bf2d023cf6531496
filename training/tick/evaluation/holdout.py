"""Evaluation on the hold-out days: the exported forest, comparisons, and the gate's verdict.

Everything is logged before a model is promoted. Comparisons, intervals and the deflated Sharpe
ratio are reported only; the gate does not use them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import runtime
from models.registry import Registry
from training.run import mlflow_run
from training.run.gate import GateVerdict
from training.run.mlflow_run import MlflowRun
from training.tick import baselines, gate
from training.tick.data import dataset
from training.tick.data.split import Split
from training.tick.evaluation import metrics, plots
from training.tick.evaluation.backtest import COSTS_BP, Backtest, backtest_forecast


@dataclass(frozen=True)
class HoldoutEvaluation:
    """Verdict and backtests of one model.

    `backtests` are the model's by cost in bp, `comparisons` those of other forecasts by name, at
    the gate's cost `cost_bp`. `dsr` is the deflated Sharpe ratio over so many `trainings`.
    """

    verdict: GateVerdict
    backtests: dict[float, Backtest]
    comparisons: dict[str, Backtest]
    dsr: float
    trainings: int
    sharpe_interval: tuple[float, float]
    cost_bp: float

    @property
    def at_gate_cost(self) -> Backtest:
        """The model's backtest at the gate's cost."""
        return self.backtests[self.cost_bp]

    def metrics(self) -> dict[str, float]:
        """All metrics by name, for MLflow."""
        low, high = self.sharpe_interval
        values = self.at_gate_cost.report.metrics() | {
            "deflated_sharpe": self.dsr,
            "trials": float(self.trainings),
            # The same value under the name that searches over all pipelines use.
            "sharpe_ratio": self.at_gate_cost.report.sharpe,
            "sharpe_low": low,
            "sharpe_high": high,
            "threshold_pass": float(self.verdict.threshold_pass),
            "gate_pass": float(self.verdict.gate_pass),
        }
        for name, backtest in self.backtests_by_name().items():
            values |= {f"sharpe.{name}": backtest.report.sharpe, f"ic.{name}": backtest.report.ic}
        return values

    def backtests_by_name(self) -> dict[str, Backtest]:
        """All backtests: the model's by cost, then the comparisons."""
        return {
            f"{cost:g}bp": backtest for cost, backtest in self.backtests.items()
        } | self.comparisons


def evaluate_holdout(
    settings: Settings,
    parts: Split,
    exported: runtime.ExportedModel,
    parent: MlflowRun,
    title_suffix: str,
) -> HoldoutEvaluation:
    """Backtest on `parts.test` and evaluate the gate.

    Logs to the nested run `backtest` of `parent`, and the metrics also to `parent`. `title_suffix`
    is appended to the title of the plot.
    """
    with parent.step_run("backtest") as step:
        backtests = _backtest_model(settings, parts.test, exported)
        report = backtests[settings.cost_bp].report
        pnl = backtests[settings.cost_bp].pnl
        earlier_sharpes = mlflow_run.finished_values(parent, "sharpe_minute")
        training_sharpes = np.array([*earlier_sharpes, report.sharpe_minute])
        production_sharpe, obstacles = _production_sharpe(settings, parts.test)
        verdict = gate.evaluate_tick_gate(
            sharpe=report.sharpe,
            max_drawdown=report.max_drawdown,
            psr=report.psr,
            days=report.days,
            trades=report.trades,
            production_sharpe=production_sharpe,
            obstacles=obstacles,
        )
        evaluation = HoldoutEvaluation(
            verdict=verdict,
            backtests=backtests,
            comparisons=_backtest_comparisons(settings, parts),
            dsr=metrics.dsr(pnl, training_sharpes),
            trainings=len(training_sharpes),
            sharpe_interval=metrics.sharpe_interval(pnl, settings.seed),
            cost_bp=settings.cost_bp,
        )
        _log_evaluation(evaluation, step, parent, title_suffix)
    return evaluation


def _backtest_model(
    settings: Settings, test: pl.DataFrame, exported: runtime.ExportedModel
) -> dict[float, Backtest]:
    """Backtests by cost in bp, of the exported model that would be served."""
    loaded = runtime.load_model(exported.folder, exported.digest)
    forecast = loaded.predict(dataset.feature_matrix(test))
    costs = sorted({*COSTS_BP, settings.cost_bp})
    return {cost: backtest_forecast(test, forecast, cost, settings) for cost in costs}


def _backtest_comparisons(settings: Settings, parts: Split) -> dict[str, Backtest]:
    forecasts = baselines.comparison_forecasts(parts, settings)
    return {
        name: backtest_forecast(parts.test, forecast, settings.cost_bp, settings)
        for name, forecast in forecasts.items()
    }


def _production_sharpe(
    settings: Settings, test: pl.DataFrame
) -> tuple[float | None, tuple[str, ...]]:
    """Sharpe ratio of the Production model on the same rows, and obstacles to the comparison.

    0 for a model that never trades, None if there is no Production model or an obstacle.
    """
    registry = Registry(settings)
    version = registry.production_version()
    if version is None:
        return None, ()
    try:
        local = registry.fetch_version(version)
        production = runtime.load_model(local.path, local.digest, local.name, local.version)
        missing = set(production.features) - set(test.columns)
        if missing:
            raise RegistryError(f"it needs {sorted(missing)}, which the dataset no longer has")
    except RegistryError as error:
        obstacle = (
            f"the Production model cannot be compared: {error.message} (`tick model rollback` or"
            " `retire`)"
        )
        return None, (obstacle,)
    forecast = production.predict(test.select(production.features).to_numpy())
    report = backtest_forecast(test, forecast, settings.cost_bp, settings).report
    return (report.sharpe if report.trades else 0.0), ()


def _log_evaluation(
    evaluation: HoldoutEvaluation, step: MlflowRun, parent: MlflowRun, title_suffix: str
) -> None:
    verdict = evaluation.verdict
    reports = {
        name: backtest.report.as_dict() for name, backtest in evaluation.backtests_by_name().items()
    }
    step.log_json(verdict.as_dict(), "verdict.json")
    step.log_json(reports, "reports.json")
    tags = {
        "gate": "passed" if verdict.gate_pass else "refused",
        "gate_reasons": "; ".join(verdict.reasons) or "none",
    }
    for run in (step, parent):
        run.log_metrics(evaluation.metrics())
        run.set_tags(tags)
    curves = {f"{cost:g} bp one way": backtest for cost, backtest in evaluation.backtests.items()}
    lightgbm = evaluation.comparisons[baselines.NAME]
    curves[f"{baselines.NAME}, {evaluation.cost_bp:g} bp"] = lightgbm
    figure = plots.plot_equity(curves, f"net equity on the hold-out days{title_suffix}")
    step.log_figure(figure, "equity_curve.png")
