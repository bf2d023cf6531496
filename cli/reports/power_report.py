"""Printed results of power trainings and forecasts."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.reports.train_report import describe_refusal, describe_repeated, verdict_table
from cli.tables import NONE, build_table, format_optional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.power.all_steps import PowerTraining
    from training.power.backfill import BackfillDay
    from training.power.forecast import DayForecast


FORECASTS = ("model", "naive_24", "naive_168")
DAY_COLUMNS = (
    "data through",
    "share of train std",
    "skill",
    "version",
    "forecast of the next day by",
    "remark",
)


def print_training(result: "PowerTraining") -> None:
    """Print the checks of the gate, the errors of model and naive forecasts, and the outcome."""
    console = Console()
    console.print(
        verdict_table(result.verdict, f"The gate for {result.series}, data through {result.day}")
    )
    console.print(_errors_table(result.metrics))
    console.print(
        f"{result.train_rows:,} training and {result.test_rows:,} test hours; MLflow run"
        f" {result.run_id}",
        soft_wrap=True,
    )
    console.print(_describe_outcome(result), soft_wrap=True)


def _errors_table(metrics: "Mapping[str, float]") -> Table:
    """The error of each forecast, absolute and relative."""
    rows = (
        (
            name,
            f"{metrics[f'test_rmse.{name}']:,.0f}",
            f"{metrics[f'rmse_over_train_std.{name}']:.3f}",
        )
        for name in FORECASTS
    )
    columns = ("forecast", "RMSE, kW", "share of train std")
    return build_table(columns, rows, title="On the same hold-out days")


def _describe_outcome(result: "PowerTraining") -> str:
    if result.version is None:
        return describe_refusal(result.verdict)
    repeated = describe_repeated(repeated=result.repeated)
    if result.promoted:
        return f"[bold green]promoted[/]: version {result.version} is Production{repeated}"
    return (
        f"[green]passed[/]: version {result.version}{repeated}; the Production model was trained on"
        " later data and stays"
    )


def print_days(days: "list[BackfillDay]") -> None:
    """Print a row per training of a range of days."""
    Console().print(build_table(DAY_COLUMNS, map(_day_cells, days), title="One training per day"))


def _day_cells(day: "BackfillDay") -> tuple[str, ...]:
    forecast = f"version {day.forecast.version}" if day.forecast else NONE
    if day.result is None:
        return day.day, NONE, NONE, NONE, forecast, escape(day.error)
    remark = escape(day.error) or "; ".join(day.result.verdict.reasons)
    return day.day, *_format_numbers(day.result), forecast, remark


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
    kilowatts = forecast.rows.select("forecast_kw", "actual_kw").iter_rows()
    rows = (
        (f"{hour:02}:00", f"{forecast_kw:,.0f}", format_optional(actual_kw, "{:,.0f}"))
        for hour, (forecast_kw, actual_kw) in enumerate(kilowatts)
    )
    title = f"{forecast.series} on {forecast.day}, by {forecast.model} version {forecast.version}"
    columns = ("hour (UTC)", "forecast, kW", "actual, kW")
    console.print(build_table(columns, rows, title=title))
    console.print(
        f"stored in gold.power_forecasts; {forecast.filled} actuals written alongside forecasts",
        soft_wrap=True,
    )
