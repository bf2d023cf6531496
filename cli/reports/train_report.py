"""Tables of a training: the gate's checks, the figures for comparison, and the walk-forward
folds."""

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
    """Each check of the gate: its number, what it must be, and whether it is."""
    table = Table("check", "value", "must be", "", title=title)
    for check in verdict.checks:
        mark = "[green]✓[/]" if check.passed else "[bold red]✗[/]"
        table.add_row(check.name, f"{check.value:.4g}", f"{check.relation} {check.limit:.4g}", mark)
    return table


def backtest_table(result: "TickTraining") -> Table:
    """The model at each cost, the challenger and the baselines at the gate's cost, all on the
    gate's days.
    """
    by_name = {
        f"model, {cost:g} bp": report for cost, report in result.reports.items()
    } | result.comparisons
    return _reports("For comparison, on the same days", by_name)


def walk_table(walked: "WalkForward") -> Table:
    """Each forecast over all walk-forward folds joined."""
    return _reports(
        f"Walk-forward before those days, {len(walked.folds)} folds joined", walked.joined
    )


def folds_table(walked: "WalkForward") -> Table:
    """Each fold: its days, rows, and Sharpe and IC of forest, challenger and OLS."""
    shown = ("random_forest", "lightgbm", "ols")
    table = Table(
        "fold",
        "test from (UTC)",
        "training rows",
        "test rows",
        "purged",
        *(f"{name}: Sharpe, IC" for name in shown),
        title="Its folds",
    )
    for fold in walked.folds:
        numbers = (
            f"{fold.reports[name].sharpe:.3g}, {fold.reports[name].ic:.3g}" for name in shown
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


def _reports(title: str, by_name: "dict[str, BacktestReport]") -> Table:
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
    for name, report in by_name.items():
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
            *(f"{n:.3g}" for n in numbers),
        )
    return table
