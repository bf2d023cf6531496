"""Day-ahead forecast into gold.power_forecasts, from what was known when the day began.

Actual power is filled in when its readings have arrived.
"""

from dataclasses import dataclass

import polars as pl

from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from contracts.errors import RegistryError
from lakehouse import power
from lakehouse.tables import Lakehouse
from models import runtime
from models.registry import Registry
from models.versions import GATE_PASS, ModelVersion
from training.power import features, steps
from training.power.files import iso_dates

NEVER_US = 1 << 62


@dataclass(frozen=True)
class DayForecast:
    """Rows of gold.power_forecasts for one day and series, with the model that made them.

    `filled` is the number of hours, of this or earlier forecasts, whose actual power changed.
    """

    day: str
    series: str
    model: str
    version: str
    rows: pl.DataFrame
    filled: int


def forecast_day(settings: Settings, series: str, start_us: int | None = None) -> DayForecast:
    """Forecast the 24 hours from `start_us` and store them, replacing an earlier forecast.

    `start_us` is a midnight (µs UTC), by default the end of the last whole day of readings.

    Raises DatasetError if readings are missing, RegistryError if there is no model of its past.
    """
    start_us = start_us or steps.last_end_us(settings)
    version = choose_version(settings, series, start_us)
    local = Registry(settings, version.name).fetch_version(version)
    model = runtime.load_model(local.path, local.digest, local.name, local.version)
    past = steps.past_hours(settings, series, start_us)
    hours = features.next_day_rows(features.add_features(past))
    rows = hours.select(
        "event_time_us",
        pl.lit(series).alias("series"),
        pl.Series("forecast_kw", model.predict(features.feature_matrix(hours))),
        pl.lit(None, dtype=pl.Float64).alias("actual_kw"),
        pl.lit(local.name).alias("model_name"),
        pl.lit(local.version).alias("model_version"),
        pl.lit(start_us).alias("known_at_us"),
    )
    lake = Lakehouse(settings)
    power.store_forecasts(lake, rows)
    filled = fill_actuals(settings, series)
    stored = power.forecasts(lake, start_us, start_us + DAY_US, series)
    day = iso_dates([start_us // DAY_US])[0]
    return DayForecast(day, series, local.name, local.version, stored, filled)


def choose_version(settings: Settings, series: str, start_us: int) -> ModelVersion:
    """The Production version if it saw no data from `start_us` on.

    Otherwise, of the versions that passed the gate on earlier data, the one with the latest data.
    Raises RegistryError if there is no Production version, or all versions saw later data: a
    forecast by those would be in-sample.
    """
    name = steps.model_name(settings, series)
    registry = Registry(settings, name)
    production = registry.production_version()
    if production is None:
        raise RegistryError(
            f"{name} has no Production version", f"run `tick train power --series {series}`"
        )
    if _data_end_us(production) <= start_us:
        return production
    candidates = [
        version
        for version in registry.list_versions()
        if _data_end_us(version) <= start_us and version.tags.get(GATE_PASS) == "true"
    ]
    if not candidates:
        day = iso_dates([start_us // DAY_US])[0]
        raise RegistryError(
            f"{name} has no version that was made before {day}",
            f"run `tick train power --series {series} --to` the day before",
        )
    return max(candidates, key=lambda version: (_data_end_us(version), int(version.version)))


def fill_actuals(settings: LakehouseSettings, series: str) -> int:
    """Write the actual power next to the forecasts of `series`; returns how many hours changed."""
    lake = Lakehouse(settings)
    forecasts = power.forecasts(lake, series=series)
    if forecasts.is_empty():
        return 0
    from_us = int(forecasts["event_time_us"][0])
    to_us = int(forecasts["event_time_us"][-1]) // DAY_US * DAY_US + DAY_US
    readings = power.readings(lake, from_us, to_us)
    if readings.is_empty():
        return 0
    return power.fill_actuals(lake, series, features.hourly_power(readings, series, to_us))


def _data_end_us(version: ModelVersion) -> int:
    """End of the data that a version saw; one without the tag may have seen everything."""
    return int(version.tags.get(steps.THROUGH, NEVER_US))
