"""`tick train power` and `tick predict power`: day-ahead power consumption."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.exit_codes import FAILED, REFUSED, exit_if
from cli.times import DAY_FORMAT, DAY_METAVAR, optional_us, to_us
from contracts.durations import DAY_US

if TYPE_CHECKING:
    from training.power.backfill import BackfillDay


class Series(StrEnum):
    """A series that can be forecast: a zone of the city, or the sum of the three."""

    TOTAL = "total"
    ZONE1 = "zone1"
    ZONE2 = "zone2"
    ZONE3 = "zone3"


SeriesOption = Annotated[Series, typer.Option(help="a zone, or the sum of the three")]
DataFile = Annotated[
    Path | None,
    typer.Option(help="load this CSV, ZIP or Parquet file of readings into the lakehouse first"),
]
Download = Annotated[
    bool,
    typer.Option(
        "--download", help="download the public file first (TICK_POWER_URL), resumed and verified"
    ),
]
LastDay = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=[DAY_FORMAT],
        metavar=DAY_METAVAR,
        help="last day of data, UTC; default: the last complete day",
    ),
]
FirstDay = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=[DAY_FORMAT],
        metavar=DAY_METAVAR,
        help="train once per day, from this day to --to",
    ),
]
ForecastDay = Annotated[
    datetime | None,
    typer.Option(
        "--day",
        formats=[DAY_FORMAT],
        metavar=DAY_METAVAR,
        help="UTC; default: the day after the last complete day of data",
    ),
]


def train(
    data: DataFile = None,
    download: Download = False,
    series: SeriesOption = Series.TOTAL,
    end: LastDay = None,
    start: FirstDay = None,
) -> None:
    """Train a day-ahead power model on the lakehouse and promote it if it passes both checks of the
    gate.

    The model sees the readings through the end of day --to and no later ones. Its RMSE must be
    below 0.20 of the standard deviation of the training hours, and below that of the same hour of
    yesterday and of last week. --from trains once per day, each time on the past only, and
    forecasts the day after it.

    Exit code 0: the model is Production now. 3: trained, but refused by the gate (of a range: any
    day). 1: the training failed.
    """
    from cli.reports.power_report import print_training
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from training.power import all_steps

    file = _download_readings() if download else data
    if file is not None:
        _load_readings(file)
    if start is not None:
        _train_every_day(series, start, end)
        return
    with progress_bars() as report:
        result = all_steps.train_power(settings(), series, _end_us(end), now_us(), report)
    print_training(result)
    exit_if(result.version is None, REFUSED)


def predict(series: SeriesOption = Series.TOTAL, day: ForecastDay = None) -> None:
    """Forecast the 24 hours of a day from the readings before it, into gold.power_forecasts; actual
    values are added as they arrive.

    Uses the Production model, or, if that was trained on this day, the newest model that was not.
    """
    from cli.reports.power_report import print_forecast
    from contracts.config.settings import settings
    from training.power import forecast

    print_forecast(forecast.forecast_day(settings(), series, optional_us(day)))


def _download_readings() -> Path:
    from cli.reports.progress_bars import progress_bars
    from contracts.config.settings import settings
    from training.run import download

    with progress_bars() as report:
        return download.download_file(
            settings().power_url,
            settings().root / "downloads" / "power" / "readings.zip",
            settings().power_sha256,
            settings().download_timeout_s,
            settings().download_bytes_max,
            report,
        )


def _load_readings(file: Path) -> None:
    from rich.console import Console

    from contracts.config.settings import settings
    from lakehouse import power
    from lakehouse.tables import Lakehouse
    from training.power import files

    result = power.store(
        Lakehouse(settings()), files.to_silver(files.read_readings(file), file.name)
    )
    Console(highlight=False).print(
        f"{result.added:,} readings loaded, {result.corrected:,} corrected, {result.already:,}"
        " already there",
        soft_wrap=True,
    )


def _train_every_day(series: Series, start: datetime, end: datetime | None) -> None:
    from cli.reports.power_report import print_days
    from cli.reports.progress_bars import progress_bars
    from contracts.clock import now_us
    from contracts.config.settings import settings
    from contracts.errors import DatasetError
    from training.power import backfill, steps

    first_us = to_us(start)
    last_us = steps.last_end_us(settings()) - DAY_US if end is None else to_us(end)
    if first_us > last_us:
        raise DatasetError(
            f"--from {start:{DAY_FORMAT}} is after the last day",
            "choose an earlier --from, or a later --to (which is included)",
        )
    with progress_bars() as report:
        days = list(backfill.backfill_days(settings(), series, first_us, last_us, now_us, report))
    print_days(days)
    exit_if(any(day.result is None for day in days), FAILED)
    exit_if(any(_is_refused(day) for day in days), REFUSED)


def _is_refused(day: "BackfillDay") -> bool:
    return day.result is not None and day.result.version is None


def _end_us(day: datetime | None) -> int | None:
    """The end of a day of an option: the model sees the whole day."""
    return None if day is None else to_us(day) + DAY_US
