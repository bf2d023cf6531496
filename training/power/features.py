"""Hourly power and its features: lags of one to seven days, and the calendar.

Day-ahead power is traded and planned by the hour, hence hours instead of ten minutes. All 24 hours
of a day are forecast when the day before ends, so no lag may be shorter than 24 hours. The
functions are pure and use no reading that was not known at the given end.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.durations import DAY_US, HOUR_US
from contracts.errors import DatasetError
from training.power.files import STEP_US, ZONES, iso_dates

HOURS_A_DAY = 24
READINGS_AN_HOUR = HOUR_US // STEP_US
TOTAL = "total"
SERIES = (TOTAL, *ZONES)
LAGS_H = (24, 48, 72, 96, 120, 144, 168)
LAG_FEATURES = tuple(f"lag_{lag}h" for lag in LAGS_H)
CALENDAR = ("hour", "weekday", "day_of_year", "month")
FEATURES = (*LAG_FEATURES, *CALENDAR)


def hourly_power(readings: pl.DataFrame, series: str, end_us: int) -> pl.DataFrame:
    """Mean power of each hour before `end_us` (µs UTC), without gaps, as it was known then.

    `readings` are rows of silver.power_consumption: event_time_us, series, value_kw, known_at_us.
    The result has event_time_us (start of the hour) and kw, null unless all six readings of the
    hour exist. `total` is the sum of the zones, where all three exist. Raises DatasetError without
    any reading before `end_us`.
    """
    zones = list(ZONES) if series == TOTAL else [series]
    past = readings.filter(
        (pl.col("event_time_us") < end_us)
        & (pl.col("known_at_us") <= end_us)
        & pl.col("series").is_in(zones)
    )
    if past.is_empty():
        raise DatasetError(
            f"no readings of {series} before {iso_dates([end_us // DAY_US])[0]}",
            "load a file: `tick train power --data FILE`",
        )
    sums = (
        past.group_by("event_time_us")
        .agg(pl.col("value_kw").sort_by("series").sum(), pl.len())
        .filter(pl.col("len") == len(zones))
    )
    hour = (pl.col("event_time_us") // HOUR_US * HOUR_US).alias("hour_us")
    means = (
        sums.sort("event_time_us")
        .group_by(hour, maintain_order=True)
        .agg(pl.col("value_kw").mean().alias("kw"), pl.len())
        .filter(pl.col("len") == READINGS_AN_HOUR)
        .drop("len")
    )
    first_us = int(past["event_time_us"].min()) // DAY_US * DAY_US  # type: ignore[arg-type]
    grid = pl.DataFrame({"event_time_us": np.arange(first_us, end_us, HOUR_US)})
    return grid.join(
        means, left_on="event_time_us", right_on="hour_us", how="left", maintain_order="left"
    )


def add_features(past: pl.DataFrame) -> pl.DataFrame:
    """Add FEATURES to `past` (from `hourly_power`) and to the 24 hours after it.

    A lag is null where the power of its hour is; `kw` is null in the hours after the end.
    """
    end_us = int(past["event_time_us"][-1]) + HOUR_US
    next_day = pl.DataFrame(
        {"event_time_us": np.arange(end_us, end_us + DAY_US, HOUR_US), "kw": [None] * HOURS_A_DAY},
        schema=past.schema,
    )
    lags = [
        pl.col("kw").shift(lag).alias(name) for lag, name in zip(LAGS_H, LAG_FEATURES, strict=True)
    ]
    time = pl.from_epoch("event_time_us", time_unit="us").dt
    calendar_parts = (time.hour(), time.weekday(), time.ordinal_day(), time.month())
    calendar = [
        part.cast(pl.Float64).alias(name)
        for part, name in zip(calendar_parts, CALENDAR, strict=True)
    ]
    return pl.concat([past, next_day]).with_columns(*lags, *calendar)


def training_samples(hours: pl.DataFrame) -> pl.DataFrame:
    """The hours of `add_features` with known power and no missing feature."""
    return hours.drop_nulls(["kw", *FEATURES])


def next_day_rows(hours: pl.DataFrame) -> pl.DataFrame:
    """The 24 hours to forecast, the last ones of `add_features`.

    Raises DatasetError, naming the lags, if some are missing.
    """
    rows = hours.tail(HOURS_A_DAY)
    missing = [name for name in LAG_FEATURES if rows[name].null_count()]
    if missing:
        day = iso_dates([rows["event_time_us"][0] // DAY_US])[0]
        raise DatasetError(
            f"{day} cannot be forecast: {', '.join(missing)} reach into hours without readings",
            "load the readings of the seven days before it",
        )
    return rows


def feature_matrix(rows: pl.DataFrame) -> NDArray[np.float32]:
    """(rows × FEATURES) matrix as float32, the type that the runtime uses."""
    return np.ascontiguousarray(rows.select(FEATURES).to_numpy(), dtype=np.float32)


def fingerprint(past: pl.DataFrame) -> str:
    """SHA-256 of the hours and their power, to recognise equal data."""
    content = (
        past["event_time_us"].to_numpy().tobytes()
        + past["kw"].fill_null(float("nan")).to_numpy().tobytes()
    )
    return hashlib.sha256(content).hexdigest()
