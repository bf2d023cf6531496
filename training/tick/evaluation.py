"""Judging on the untouched days: the exported forest at every cost, rivals and the incumbent on the
same rows, and the gate's verdict.

Everything is logged before anything is promoted; what is only reported (challenger, baselines,
intervals) never decides.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import registry, runtime
from training.run import gate, mlflow_run
from training.run.gate import Verdict
from training.run.mlflow_run import Track
from training.tick import backtest, baselines, dataset, metrics, plots
from training.tick.backtest import Backtest, Floats
from training.tick.split import Split


@dataclass(frozen=True)
class Judgement:
    """The verdict, the model's backtests by cost in bp, those of the rivals by name at the gate's
    cost, and the numbers alongside.
    """

    verdict: Verdict
    tests: dict[float, Backtest]
    rivals: dict[str, Backtest]
    dsr: float
    trials: int
    sharpe_interval: tuple[float, float]
    cost_bp: float

    @property
    def main(self) -> Backtest:
        """The model at the gate's cost."""
        return self.tests[self.cost_bp]

    def numbers(self) -> dict[str, float]:
        """Every metric of the judgement by name."""
        numbers = self.main.report.numbers() | {
            "deflated_sharpe": self.dsr,
            "trials": float(self.trials),
        }
        numbers |= {
            "sharpe_ratio": self.main.report.sharpe
        }  # the same number under the name that other pipelines' searches use
        numbers |= dict(zip(("sharpe_low", "sharpe_high"), self.sharpe_interval, strict=True))
        numbers |= {
            "threshold_pass": float(self.verdict.threshold_pass),
            "gate_pass": float(self.verdict.gate_pass),
        }
        for name, test in self.by_name().items():
            numbers |= {f"sharpe.{name}": test.report.sharpe, f"ic.{name}": test.report.ic}
        return numbers

    def by_name(self) -> dict[str, Backtest]:
        """Every backtest: the model's by cost, then the rivals'."""
        return {f"{cost:g}bp": test for cost, test in self.tests.items()} | self.rivals


def judge(
    settings: Settings, parts: Split, exported: runtime.Exported, track: Track, title: str
) -> Judgement:
    """Backtest, compare and decide; logged below `track` as child `backtest`, its numbers also in
    `track`.
    """
    with track.step("backtest") as child:
        tests, rivals = _backtests(settings, parts, exported)
        report, pnl = tests[settings.cost_bp].report, tests[settings.cost_bp].pnl
        trials = np.array([*mlflow_run.earlier(track, "sharpe_minute"), report.sharpe_minute])
        incumbent, obstacles = _incumbent(settings, parts.test)
        verdict = gate.judge(
            report.sharpe,
            report.max_drawdown,
            report.psr,
            report.days,
            report.trades,
            incumbent,
            obstacles,
        )
        interval = metrics.sharpe_interval(pnl, settings.seed)
        made = Judgement(
            verdict,
            tests,
            rivals,
            metrics.dsr(pnl, trials),
            len(trials),
            interval,
            settings.cost_bp,
        )
        _log(made, child, track, title)
    return made


def _backtests(
    settings: Settings, parts: Split, exported: runtime.Exported
) -> tuple[dict[float, Backtest], dict[str, Backtest]]:
    """The model from the converted file that Production would run, and its rivals."""
    forecast = runtime.load(exported.folder, exported.digest).predict(dataset.matrix(parts.test))
    costs = sorted({*backtest.COSTS_BP, settings.cost_bp})
    tests = {cost: backtest.run(parts.test, forecast, cost, settings) for cost in costs}
    guesses = baselines.rivals(parts, settings)
    return tests, {
        name: backtest.run(parts.test, guess, settings.cost_bp, settings)
        for name, guess in guesses.items()
    }


def _incumbent(settings: Settings, test: pl.DataFrame) -> tuple[float | None, tuple[str, ...]]:
    """Sharpe of the Production model on these very rows; one that never trades has 0. Not
    comparable is an obstacle.
    """
    if registry.current(settings) is None:
        return None, ()
    try:
        found = registry.production(settings)
        known = runtime.load(found.path, found.digest, found.name, found.version)
        missing = set(known.features) - set(test.columns)
        if missing:
            raise RegistryError(f"it needs {sorted(missing)}, which the dataset no longer has")
    except RegistryError as error:
        return None, (
            (
                f"the Production model cannot be compared: {error.message} (`tick model rollback`"
                " or `retire`)"
            ),
        )
    forecast: Floats = known.predict(test.select(known.features).to_numpy())
    report = backtest.run(test, forecast, settings.cost_bp, settings).report
    return (report.sharpe if report.trades else 0.0), ()


def _log(made: Judgement, child: Track, track: Track, title: str) -> None:
    child.document(made.verdict.as_dict(), "verdict.json")
    child.document(
        {name: test.report.plain() for name, test in made.by_name().items()}, "reports.json"
    )
    gate_tags = {
        "gate": "passed" if made.verdict.gate_pass else "refused",
        "gate_reasons": "; ".join(made.verdict.reasons) or "none",
    }
    for each in (child, track):
        each.metrics(made.numbers())
        each.tags(gate_tags)
    curves = {f"{cost:g} bp one way": test for cost, test in made.tests.items()}
    curves |= {f"{baselines.NAME}, {made.cost_bp:g} bp": made.rivals[baselines.NAME]}
    child.picture(
        plots.equity_curve(curves, f"net equity on unseen days{title}"), "equity_curve.png"
    )
