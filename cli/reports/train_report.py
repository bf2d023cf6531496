"""Tables of a training run: the checks of the gate, the backtests, and the walk-forward folds."""

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from training.run.gate import GateVerdict
    from training.tick.evaluation.backtest import BacktestReport
    from training.tick.evaluation.walk_forward import WalkForward
    from training.tick.pipeline import TickTraining


def verdict_table(
    verdict: "GateVerdict", title: str = "The gate, net of cost, on unseen days"
) -> Table:
    """Each check of the gate: its value, its limit, and whether it passed."""
    table = Table("check", "value", "must be", "", title=title)
    for check in verdict.checks:
        mark = "[green]✓[/]" if check.passed else "[bold red]✗[/]"
        table.add_row(check.name, f"{check.value:.4g}", f"{check.relation} {check.limit:.4g}", mark)
    return table


def backtest_table(result: "TickTraining") -> Table:
    """The model at each cost, and the baselines at the gate's cost, all on the gate's days."""
    model_reports = {f"model, {cost:g} bp": report for cost, report in result.reports.items()}
    return _reports_table("For comparison, on the same days", model_reports | result.comparisons)


def walk_table(walk: "WalkForward") -> Table:
    """Each forecast over all walk-forward folds joined."""
    return _reports_table(
        f"Walk-forward before those days, {len(walk.folds)} folds joined", walk.joined
    )


def folds_table(walk: "WalkForward") -> Table:
    """Each fold: its days, its rows, and Sharpe and IC of random forest, LightGBM and OLS."""
    model_names = ("random_forest", "lightgbm", "ols")
    table = Table(
        "fold",
        "test from (UTC)",
        "training rows",
        "test rows",
        "purged",
        *(f"{name}: Sharpe, IC" for name in model_names),
        title="Its folds",
    )
    for fold in walk.folds:
        numbers = (
            f"{fold.reports[name].sharpe:.3g}, {fold.reports[name].ic:.3g}" for name in model_names
        )
        start = fold.as_dict()["test_from"][:16].replace("T", " ")
        table.add_row(
            str(fold.number),
            start,
            f"{fold.train_rows:,}",
            f"{fold.test_rows:,}",
            f"{fold.purged:,}",
            *numbers,
        )
    return table


def _reports_table(title: str, reports: "dict[str, BacktestReport]") -> Table:
    table = Table(
        "forecast",
        "Sharpe",
        "drawdown",
        "trades",
        "turnover/day",
        "hit rate",
        "break-even bp",
        "IC",
        "rank IC",
        title=title,
    )
    for name, report in reports.items():
        numbers = (
            report.turnover,
            report.hit_rate,
            report.break_even_bp,
            report.ic,
            report.rank_ic,
        )
        table.add_row(
            name,
            f"{report.sharpe:.3g}",
            f"{report.max_drawdown:.3g}",
            str(report.trades),
            *(f"{number:.3g}" for number in numbers),
        )
    return table
