"""Tables of a training run: the checks of the gate, the backtests, and the walk-forward folds."""

from typing import TYPE_CHECKING

from rich.table import Table

from cli.tables import build_table

if TYPE_CHECKING:
    from training.run.gate import GateCheck, GateVerdict
    from training.tick.all_steps import TickTraining
    from training.tick.evaluation.backtest import BacktestReport
    from training.tick.evaluation.walk_forward import FoldReport, WalkForward

FOLD_MODELS = ("random_forest", "lightgbm", "ols")
FOLD_COLUMNS = (
    "fold",
    "test from (UTC)",
    "training rows",
    "test rows",
    "left out",
    *(f"{name}: Sharpe, IC" for name in FOLD_MODELS),
)
REPORT_COLUMNS = (
    "forecast",
    "Sharpe",
    "drawdown",
    "trades",
    "turnover/day",
    "hit rate",
    "break-even bp",
    "IC",
    "rank IC",
)


def verdict_table(
    verdict: "GateVerdict", title: str = "The gate, net of cost, hold-out days"
) -> Table:
    """Each check of the gate: its value, its limit, and whether it passed."""
    return build_table(
        ("check", "value", "must be", ""), map(_check_cells, verdict.checks), title=title
    )


def _check_cells(check: "GateCheck") -> tuple[str, ...]:
    mark = "[green]✓[/]" if check.passed else "[bold red]✗[/]"
    return check.name, f"{check.value:.4g}", f"{check.relation} {check.limit:.4g}", mark


def describe_refusal(verdict: "GateVerdict") -> str:
    """The outcome of a training whose model did not pass the gate."""
    return f"[bold red]refused[/], nothing registered: {'; '.join(verdict.reasons)}"


def describe_repeated(*, repeated: bool) -> str:
    """A remark on a model that had been registered before; otherwise nothing."""
    return " (the same content was registered before: no second version)" if repeated else ""


def backtest_table(result: "TickTraining") -> Table:
    """The model at each cost, and the baselines at the gate's cost, all on the hold-out days."""
    model_reports = {f"model, {cost:g} bp": report for cost, report in result.reports.items()}
    return _reports_table("For comparison, on the same days", model_reports | result.comparisons)


def walk_table(walk: "WalkForward") -> Table:
    """Each forecast over all walk-forward folds joined."""
    return _reports_table(
        f"Walk-forward before those days, {len(walk.folds)} folds joined", walk.joined
    )


def folds_table(walk: "WalkForward") -> Table:
    """Each fold: its days, its rows, and Sharpe and IC of random forest, LightGBM and OLS."""
    return build_table(FOLD_COLUMNS, map(_fold_cells, walk.folds), title="Its folds")


def _fold_cells(fold: "FoldReport") -> tuple[str, ...]:
    reports = [fold.reports[name] for name in FOLD_MODELS]
    return (
        str(fold.number),
        fold.as_dict()["test_from"][:16].replace("T", " "),
        f"{fold.train_rows:,}",
        f"{fold.test_rows:,}",
        f"{fold.left_out:,}",
        *(f"{report.sharpe:.3g}, {report.ic:.3g}" for report in reports),
    )


def _reports_table(title: str, reports: "dict[str, BacktestReport]") -> Table:
    rows = ((name, *_report_cells(report)) for name, report in reports.items())
    return build_table(REPORT_COLUMNS, rows, title=title)


def _report_cells(report: "BacktestReport") -> tuple[str, ...]:
    return (
        f"{report.sharpe:.3g}",
        f"{report.max_drawdown:.3g}",
        str(report.trades),
        f"{report.turnover:.3g}",
        f"{report.hit_rate:.3g}",
        f"{report.break_even_bp:.3g}",
        f"{report.ic:.3g}",
        f"{report.rank_ic:.3g}",
    )
