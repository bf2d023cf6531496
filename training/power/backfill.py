"""Backfill: a training for each day, on its past only, and a forecast of the next day."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import TickError
from contracts.progress import Progress, silent
from training.power import all_steps, forecast
from training.power.all_steps import PowerTraining
from training.power.files import iso_dates
from training.power.forecast import DayForecast


@dataclass(frozen=True)
class BackfillDay:
    """Outcome of one day: a training, or the error that ended it.

    `forecast` is of the next day; None, with the reason in `error`, if no model could make it.
    """

    day: str
    result: PowerTraining | None
    forecast: DayForecast | None
    error: str


def backfill_days(
    settings: Settings,
    series: str,
    first_us: int,
    last_us: int,
    clock: Callable[[], int],
    progress: Progress,
) -> Iterator[BackfillDay]:
    """Train and forecast for each day that begins in [first, last] (µs UTC), oldest first.

    A day that fails does not end the backfill.
    """
    total = (last_us - first_us) // DAY_US + 1
    for done, start_us in enumerate(range(first_us, last_us + 1, DAY_US), start=1):
        yield _backfill_day(settings, series, start_us + DAY_US, clock())
        progress("days", done, total)


def _backfill_day(settings: Settings, series: str, end_us: int, at_us: int) -> BackfillDay:
    day = iso_dates([end_us // DAY_US - 1])[0]
    try:
        result = all_steps.train_power(settings, series, end_us, at_us, silent)
    except TickError as error:
        return BackfillDay(day, None, None, error.message)
    try:
        next_day = forecast.forecast_day(settings, series, end_us)
    except TickError as error:
        return BackfillDay(day, result, None, error.message)
    return BackfillDay(day, result, next_day, "")
