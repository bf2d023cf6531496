"""One training per day of a range, each on its own past alone, and the next day's forecast from the
model of that day.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.progress import Progress
from training.power import forecast, pipeline
from training.power.files import DAY_US, dates
from training.power.forecast import Forecast
from training.power.pipeline import Result


@dataclass(frozen=True)
class Day:
    """One day of a backfill: a result, or the error that ended it; `forecast` is of the next day,
    None when no model could make it.
    """

    day: str
    result: Result | None
    forecast: Forecast | None
    error: str


def run(
    settings: Settings,
    series: str,
    first_us: int,
    last_us: int,
    clock: Callable[[], int],
    progress: Progress,
) -> Iterator[Day]:
    """Yield each day that begins in [first, last] µs UTC, oldest first. A day that fails says so
    and does not end the others.
    """
    total = (last_us - first_us) // DAY_US + 1
    for done, start_us in enumerate(range(first_us, last_us + 1, DAY_US), start=1):
        yield _day(settings, series, start_us + DAY_US, clock())
        progress("days", done, total)


def _day(settings: Settings, series: str, end_us: int, at_us: int) -> Day:
    day = dates([end_us // DAY_US - 1])[0]
    try:
        result = pipeline.train(settings, series, end_us, at_us, _quiet)
    except TickError as error:
        return Day(day, None, None, error.message)
    try:
        made = forecast.predict(settings, series, end_us)
    except TickError as error:
        return Day(day, result, None, error.message)
    return Day(day, result, made, "")


def _quiet(step: str, done: int, total: int) -> None:
    """A backfill shows days, not iterations."""
