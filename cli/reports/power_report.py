"""Printed results of power trainings and forecasts."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from cli.reports.train_report import verdict_table

if TYPE_CHECKING:
    from training.power.backfill import BackfillDay
    from training.power.forecast import DayForecast
    from training.power.pipeline import PowerTraining


FORECASTS = ("model", "naive_24", "naive_168")


def print_training(result: "PowerTraining") -> None:
    """Print the checks of the gate, the errors of model and naive forecasts, and the outcome."""
    console = Console()
    console.print(
        verdict_table(result.verdict, f"The gate for {result.series}, data through {result.day}")
    )
    table = Table("forecast", "RMSE, kW", "share of train std", title="On the same unseen hours")
    for name in FORECASTS:
        table.add_row(
            name,
            f"{result.metrics[f'test_rmse.{name}']:,.0f}",
            f"{result.metrics[f'rmse_over_train_std.{name}']:.3f}",
        )
    console.print(table)
    console.print(
        f"{result.train_rows:,} training and {result.test_rows:,} test hours; MLflow run"
        f" {result.run_id}",
        soft_wrap=True,
    )
    console.print(_describe_outcome(result), soft_wrap=True)


def _describe_outcome(result: "PowerTraining") -> str:
    if result.version is None:
        reasons = "; ".join(result.verdict.reasons)
        return f"[bold red]refused[/], nothing registered: {reasons}"
    repeated = (
        " (the same content was registered before: no second version)" if result.repeated else ""
    )
    if result.promoted:
        return f"[bold green]promoted[/]: version {result.version} is Production{repeated}"
    return (
        f"[green]passed[/]: version {result.version}{repeated}; the Production model was trained on"
        " later data and stays"
    )


def print_days(days: "list[BackfillDay]") -> None:
    """Print a row per training of a range of days."""
    table = Table(
        "data through",
        "share of train std",
        "skill",
        "version",
        "forecast of the next day by",
        "remark",
        title="One training per day",
    )
    for day in days:
        forecast = f"version {day.forecast.version}" if day.forecast else "–"
        numbers = ("–", "–", "–") if day.result is None else _format_numbers(day.result)
        remark = day.error or ("; ".join(day.result.verdict.reasons) if day.result else "")
        table.add_row(day.day, *numbers, forecast, remark)
    Console().print(table)


def _format_numbers(result: "PowerTraining") -> tuple[str, str, str]:
    repeated = " (again)" if result.repeated else ""
    return (
        f"{result.metrics['rmse_over_train_std']:.3f}",
        f"{result.metrics['skill']:+.1%}",
        "refused" if result.version is None else f"{result.version}{repeated}",
    )


def print_forecast(forecast: "DayForecast") -> None:
    """Print the forecast of each hour of a day, with the actual values so far."""
    console = Console()
    table = Table(
        "hour (UTC)",
        "forecast, kW",
        "actual, kW",
        title=f"{forecast.series} on {forecast.day}, by {forecast.model} version"
        f" {forecast.version}",
    )
    for hour, row in enumerate(forecast.rows.iter_rows(named=True)):
        actual = "–" if row["actual_kw"] is None else f"{row['actual_kw']:,.0f}"
        table.add_row(f"{hour:02}:00", f"{row['forecast_kw']:,.0f}", actual)
    console.print(table)
    console.print(
        f"stored in gold.power_forecasts; {forecast.filled} actuals written alongside forecasts",
        soft_wrap=True,
    )
