"""The 24 hours of a day, forecast from what was known when it began, into gold.power_forecasts;
actuals follow when they arrive.
"""

from dataclasses import dataclass

import polars as pl

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from lakehouse import power
from lakehouse.tables import Lakehouse
from models import registry, runtime
from models.registry import Version
from training.power import features, steps
from training.power.files import DAY_US, dates


@dataclass(frozen=True)
class Forecast:
    """The rows of gold.power_forecasts for one day and series, and whose they are. `filled`:
    actuals written alongside old forecasts.
    """

    day: str
    series: str
    model: str
    version: str
    rows: pl.DataFrame
    filled: int


def predict(settings: Settings, series: str, start_us: int | None = None) -> Forecast:
    """Forecast the day that begins at `start_us` (µs UTC, a midnight; by default the one after the
    last whole day) and store it.

    The same day again replaces its rows. Raises DatasetError (readings are missing) or
    RegistryError (no model of its past).
    """
    start_us = start_us or steps.last_end_us(settings)
    chosen = of_past(settings, series, start_us)
    found = registry.fetch(settings, chosen)
    known = runtime.load(found.path, found.digest, found.name, found.version)
    hours = features.tomorrow(features.design(steps.past(settings, series, start_us)))
    rows = hours.select(
        "event_time_us",
        pl.lit(series).alias("series"),
        pl.Series("forecast_kw", known.predict(features.matrix(hours))),
        pl.lit(None, dtype=pl.Float64).alias("actual_kw"),
        pl.lit(found.name).alias("model_name"),
        pl.lit(found.version).alias("model_version"),
        pl.lit(start_us).alias("known_at_us"),
    )
    power.store_forecasts(Lakehouse(settings), rows)
    filled = fill_actuals(settings, series)
    stored = power.forecasts(Lakehouse(settings), start_us, start_us + DAY_US, series)
    return Forecast(
        dates([start_us // DAY_US])[0], series, found.name, found.version, stored, filled
    )


def of_past(settings: Settings, series: str, start_us: int) -> Version:
    """Production if it saw nothing at or after `start_us`, else the version that passed the gate on
    the latest data before it.

    Raises RegistryError when none is in Production, or every version knows what it would be asked
    to forecast.
    """
    name = steps.model_name(settings, series)
    production = registry.current(settings, name)
    if production is None:
        raise RegistryError(
            f"{name} has no Production version", f"run `tick train power --series {series}`"
        )
    if _through_us(production) <= start_us:
        return production
    honest = [
        known
        for known in registry.versions(settings, name)
        if _through_us(known) <= start_us and known.tags.get(registry.PASSED) == "true"
    ]
    if not honest:
        day = dates([start_us // DAY_US])[0]
        raise RegistryError(
            f"{name} has no version that was made before {day}",
            f"`tick train power --series {series} --to` the day before",
        )
    return max(honest, key=lambda known: (_through_us(known), int(known.version)))


def fill_actuals(settings: Settings, series: str) -> int:
    """Write the actual outcome alongside every forecast of `series`; returns how many hours
    changed."""
    held = power.forecasts(Lakehouse(settings), series=series)
    if held.is_empty():
        return 0
    first, last = (
        int(held["event_time_us"][0]),
        int(held["event_time_us"][-1]) // DAY_US * DAY_US + DAY_US,
    )
    arrived = power.readings(Lakehouse(settings), first, last)
    return (
        power.fill_actuals(Lakehouse(settings), series, features.hours(arrived, series, last))
        if len(arrived)
        else 0
    )


def _through_us(version: Version) -> int:
    """End of the data that a version saw; one that does not say so saw everything."""
    return int(version.tags.get(steps.THROUGH, 1 << 62))
