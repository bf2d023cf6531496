"""Printed results of daily statistics and of drift."""

from math import isnan
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.tables import build_table

if TYPE_CHECKING:
    from training.daily_stats.compute import DailyStatsReport
    from training.monitoring.drift_check import DriftCheck
    from training.tick.drift import ColumnDrift, DriftVerdict, IcEstimate


DAYS_LISTED_MAX = 10
LEVEL_STYLE = {"ok": "green", "warn": "yellow", "alert": "bold red"}


def print_statistics(console: Console, report: "DailyStatsReport") -> None:
    """Print the number of days and rows, and what was left out."""
    console.print(f"{len(report.days)} days computed")
    for table, rows in report.rows.items():
        console.print(f"  {table}: {rows:,} rows")
    _print_days(console, report.holes, "without ticks")
    _print_days(console, report.unfinished, "not over yet, skipped")
    if report.missing:
        console.print(f"[yellow]no ticks of[/] {escape(', '.join(report.missing))}", soft_wrap=True)


def _print_days(console: Console, days: list[str], description: str) -> None:
    if days:
        hidden = len(days) - DAYS_LISTED_MAX
        more = f" and {hidden} more" if hidden > 0 else ""
        console.print(
            f"[yellow]{len(days)} days {description}[/]: {', '.join(days[:DAYS_LISTED_MAX])}{more}",
            soft_wrap=True,
        )


def drift_table(verdict: "DriftVerdict") -> Table:
    """A row per column, the most drifted first."""
    most_drifted_first = sorted(verdict.columns, key=lambda column: -column.psi)
    columns = ("column", "PSI", "", "KS", "p", "NULLs")
    rows = map(_drift_cells, most_drifted_first)
    return build_table(columns, rows, title="Drift since training")


def _drift_cells(column: "ColumnDrift") -> tuple[str, ...]:
    return (
        column.name,
        f"{column.psi:.3f}",
        f"[{LEVEL_STYLE[column.level]}]{column.level}[/]",
        f"{column.ks:.3f}",
        f"{column.p_value:.2g}",
        f"{column.nulls:.1%}",
    )


def print_drift(console: Console, outcome: "DriftCheck") -> None:
    """Print the drift of every column, the information coefficient, and whether to retrain."""
    console.print(drift_table(outcome.verdict))
    console.print(_describe_ic(outcome.verdict.ic))
    for reason in outcome.verdict.reasons:
        console.print(f"[bold red]✗[/] {reason}", soft_wrap=True)
    console.print(_describe_verdict(outcome))


def _describe_ic(ic: "IcEstimate") -> str:
    if isnan(ic.value):
        return f"no IC: {ic.days} days with decisions; it needs five, and forecasts that vary"
    interval = f"{ic.low:.3g} to {ic.high:.3g}"
    return f"IC of the last {ic.days} days {ic.value:.3g}, 95 % interval {interval}"


def _describe_verdict(outcome: "DriftCheck") -> str:
    if outcome.due:
        return (
            f"[bold red]retrain version {outcome.version}[/] with `tick train tick`; the gate"
            " decides as usual"
        )
    if outcome.verdict.retrain:
        return (
            "[yellow]a retrain is recommended, but the last training is less than 24 hours old:"
            " wait[/]"
        )
    return f"[bold green]no retrain[/]: version {outcome.version}, {outcome.rows:,} decisions"
