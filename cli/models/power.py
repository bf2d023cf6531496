"""`tick train power` and `tick predict power`: day-ahead power consumption, trained, judged and
forecast.
"""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from training.power.backfill import BackfillDay as Done
    from training.power.forecast import DayForecast
    from training.power.pipeline import PowerTraining

REFUSED, FAILED = 3, 1
DAY_US = 86_400_000_000
Day = datetime | None


class Series(StrEnum):
    """What can be forecast: a zone of the city, or the sum of the three."""

    TOTAL = "total"
    ZONE1 = "zone1"
    ZONE2 = "zone2"
    ZONE3 = "zone3"


Which = Annotated[Series, typer.Option(help="a zone, or the sum of the three")]


def train(
    data: Annotated[
        Path | None,
        typer.Option(
            help="load this CSV, ZIP or Parquet file of readings into the lakehouse first"
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="fetch the public file first (TICK_POWER_URL), resumed and verified"
        ),
    ] = False,
    series: Which = Series.TOTAL,
    end: Annotated[
        Day,
        typer.Option(
            "--to", formats=["%Y-%m-%d"], help="last day of data, UTC; default: the last whole day"
        ),
    ] = None,
    start: Annotated[
        Day,
        typer.Option(
            "--from", formats=["%Y-%m-%d"], help="train once for every day from this one to --to"
        ),
    ] = None,
) -> None:
    """Train day-ahead power on the lakehouse and promote the model if the double gate lets it pass.

    The model sees the readings through the end of day --to and none later. Its RMSE must be below
    0.20 of the training hours' standard deviation, and below that of the same hour of yesterday and
    of last week. --from trains once per day, each on its own past alone, and forecasts the day
    after it.

    Exit code 0: the model is Production now. 3: trained, and honestly refused (of a range: any
    day). 1: it could not be trained.
    """
    from contracts.config.settings import settings

    given = settings()
    file = _download() if download else data
    if file is not None:
        _load(file)
    if start is not None:
        _backfill(series, start, end)
        return
    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from training.power import pipeline

    with bars() as report:
        result = pipeline.train_power(given, series, _end_us(end), now_us(), report)
    _show(result)
    if result.version is None:
        raise typer.Exit(REFUSED)


def predict(
    series: Which = Series.TOTAL,
    day: Annotated[
        Day,
        typer.Option(
            "--day",
            formats=["%Y-%m-%d"],
            help="UTC; default: the one after the last whole day of data",
        ),
    ] = None,
) -> None:
    """Forecast the 24 hours of a day from what was known when it began, into gold.power_forecasts;
    actuals follow as they arrive.

    The Production model answers, unless it saw that day: then the newest one that did not.
    """
    from contracts.config.settings import settings
    from training.power import forecast

    _show_forecast(forecast.forecast_day(settings(), series, None if day is None else _micros(day)))


def _download() -> Path:
    from cli.reports.progress_bars import bars
    from contracts.config.settings import settings
    from training.run import download

    given = settings()
    target = given.root / "downloads" / "power" / "readings.zip"
    with bars() as report:
        return download.download_file(
            given.power_url,
            target,
            given.power_sha256,
            given.download_timeout_s,
            given.download_bytes_max,
            report,
        )


def _load(file: Path) -> None:
    from rich.console import Console

    from contracts.config.settings import settings
    from lakehouse import power
    from training.power import files

    done = power.store(settings(), files.to_silver(files.read_readings(file), file.name))
    Console(highlight=False).print(
        f"{done.added:,} readings loaded, {done.corrected:,} corrected, {done.already:,} already"
        " there",
        soft_wrap=True,
    )


def _backfill(series: Series, start: datetime, end: Day) -> None:
    from cli.reports.progress_bars import bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from contracts.errors import DatasetError
    from training.power import backfill, steps

    first_us, last_us = _micros(start), (_end_us(end) or steps.last_end_us(settings())) - DAY_US
    if first_us > last_us:
        raise DatasetError(
            f"--from {start:%Y-%m-%d} lies after the last day",
            "both are days, and --to is part of the range",
        )
    with bars() as report:
        days = list(backfill.backfill_days(settings(), series, first_us, last_us, now_us, report))
    _show_days(days)
    codes = [
        FAILED if day.result is None else REFUSED if day.result.version is None else 0
        for day in days
    ]
    if any(codes):
        raise typer.Exit(FAILED if FAILED in codes else REFUSED)


def _show(result: "PowerTraining") -> None:
    from rich.console import Console
    from rich.table import Table

    from cli.reports.train_report import verdict_table

    console = Console()
    console.print(
        verdict_table(result.verdict, f"The gate for {result.series}, data through {result.day}")
    )
    table = Table("forecast", "RMSE, kW", "share of train std", title="On the same unseen hours")
    for name in ("model", "naive_24", "naive_168"):
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
    _conclude(console, result)


def _conclude(console: "Console", result: "PowerTraining") -> None:
    if result.version is None:
        console.print(
            "[bold red]refused[/], nothing registered: " + "; ".join(result.verdict.reasons),
            soft_wrap=True,
        )
        return
    again = (
        " (the same content was registered before: no second version)" if result.repeated else ""
    )
    if result.promoted:
        console.print(
            f"[bold green]promoted[/]: version {result.version} is Production{again}",
            soft_wrap=True,
        )
    else:
        console.print(
            f"[green]passed[/]: version {result.version}{again}; Production knows later data and"
            " stays",
            soft_wrap=True,
        )


def _show_days(days: "list[Done]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "data through",
        "share of train std",
        "skill",
        "version",
        "forecast of the next day by",
        "remark",
        title="One training a day",
    )
    for day in days:
        made = f"version {day.forecast.version}" if day.forecast else "–"
        numbers = ("–", "–", "–") if day.result is None else _numbers(day.result)
        remark = day.error or ("; ".join(day.result.verdict.reasons) if day.result else "")
        table.add_row(day.day, *numbers, made, remark)
    Console().print(table)


def _numbers(result: "PowerTraining") -> tuple[str, str, str]:
    version = (
        "refused"
        if result.version is None
        else f"{result.version}{' (again)' if result.repeated else ''}"
    )
    return (
        f"{result.metrics['rmse_over_train_std']:.3f}",
        f"{result.metrics['skill']:+.1%}",
        version,
    )


def _show_forecast(made: "DayForecast") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "hour (UTC)",
        "forecast, kW",
        "actual, kW",
        title=f"{made.series} on {made.day}, by {made.model} version {made.version}",
    )
    for hour, row in enumerate(made.rows.iter_rows(named=True)):
        actual = "–" if row["actual_kw"] is None else f"{row['actual_kw']:,.0f}"
        table.add_row(f"{hour:02}:00", f"{row['forecast_kw']:,.0f}", actual)
    console.print(table)
    console.print(
        f"stored in gold.power_forecasts; {made.filled} actuals written alongside forecasts",
        soft_wrap=True,
    )


def _end_us(day: Day) -> int | None:
    """The end of a day that a person names is part of what the model sees."""
    return None if day is None else _micros(day) + DAY_US


def _micros(moment: datetime) -> int:
    return round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)
