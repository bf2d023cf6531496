"""Hours and the features of each: the same hour on the seven days before, and the calendar. Pure;
nothing after the given end.

Day-ahead power is traded and planned by the hour, hence hours and not ten minutes. When a day ends,
all 24 hours of the next one are forecast at once: no lag may be shorter than 24 h.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.errors import DatasetError
from training.power.files import DAY_US, STEP_US, ZONES, dates

HOUR_US = 3_600_000_000
HOURS_A_DAY = 24
READINGS_AN_HOUR = HOUR_US // STEP_US
TOTAL = "total"
SERIES = (TOTAL, *ZONES)
LAGS_H = (24, 48, 72, 96, 120, 144, 168)
LAG_FEATURES = tuple(f"lag_{lag}h" for lag in LAGS_H)
CALENDAR = ("hour", "weekday", "day_of_year", "month")
FEATURES = (*LAG_FEATURES, *CALENDAR)


def hours(readings: pl.DataFrame, series: str, end_us: int) -> pl.DataFrame:
    """event_time_us (start of the hour) and kw (its mean power; null unless all six readings are
    there), without gaps, up to `end_us`.

    `readings` are rows of silver (event_time_us, series, value_kw, known_at_us); what was not known
    at `end_us` is not there. `total` is the sum of the zones where all three are known. Raises
    DatasetError when nothing is left.
    """
    own = list(ZONES) if series == TOTAL else [series]
    past = readings.filter(
        (pl.col("event_time_us") < end_us)
        & (pl.col("known_at_us") <= end_us)
        & pl.col("series").is_in(own)
    )
    if past.is_empty():
        raise DatasetError(
            f"no readings of {series} before {dates([end_us // DAY_US])[0]}",
            "load a file: `tick train power --data FILE`",
        )
    moments = (
        past.group_by("event_time_us")
        .agg(pl.col("value_kw").sort_by("series").sum(), pl.len())
        .filter(pl.col("len") == len(own))
    )
    by_hour = moments.sort("event_time_us").group_by(
        (pl.col("event_time_us") // HOUR_US * HOUR_US).alias("hour_us"), maintain_order=True
    )
    means = (
        by_hour.agg(pl.col("value_kw").mean().alias("kw"), pl.len())
        .filter(pl.col("len") == READINGS_AN_HOUR)
        .drop("len")
    )
    first = int(past["event_time_us"].min()) // DAY_US * DAY_US  # type: ignore[arg-type]
    grid = pl.DataFrame({"event_time_us": np.arange(first, end_us, HOUR_US)})
    return grid.join(
        means, left_on="event_time_us", right_on="hour_us", how="left", maintain_order="left"
    )


def design(past: pl.DataFrame) -> pl.DataFrame:
    """`past` (of `hours`) and the 24 hours after it, with FEATURES: null where a lag is, `kw` null
    in the hours to come.
    """
    end_us = int(past["event_time_us"][-1]) + HOUR_US
    ahead = pl.DataFrame(
        {"event_time_us": np.arange(end_us, end_us + DAY_US, HOUR_US), "kw": [None] * HOURS_A_DAY},
        schema=past.schema,
    )
    lags = [
        pl.col("kw").shift(lag).alias(name) for lag, name in zip(LAGS_H, LAG_FEATURES, strict=True)
    ]
    time = pl.from_epoch("event_time_us", time_unit="us").dt
    calendar = (time.hour(), time.weekday(), time.ordinal_day(), time.month())
    named = [
        part.cast(pl.Float64).alias(name) for part, name in zip(calendar, CALENDAR, strict=True)
    ]
    return pl.concat([past, ahead]).with_columns(*lags, *named)


def samples(designed: pl.DataFrame) -> pl.DataFrame:
    """The hours that can be learned from: their power and every feature known."""
    return designed.drop_nulls(["kw", *FEATURES])


def tomorrow(designed: pl.DataFrame) -> pl.DataFrame:
    """The 24 hours after the end. Raises DatasetError that names the lags which are missing."""
    rows = designed.tail(HOURS_A_DAY)
    missing = [name for name in LAG_FEATURES if rows[name].null_count()]
    if missing:
        day = dates([rows["event_time_us"][0] // DAY_US])[0]
        raise DatasetError(
            f"{day} cannot be forecast: {', '.join(missing)} reach into hours without readings",
            "seven whole days before it are needed",
        )
    return rows


def matrix(rows: pl.DataFrame) -> NDArray[np.float32]:
    """Rows × FEATURES, float32: as every reader of the model will give it."""
    return np.ascontiguousarray(rows.select(FEATURES).to_numpy(), dtype=np.float32)


def fingerprint(past: pl.DataFrame) -> str:
    """SHA-256 of the hours: equal data, equal fingerprint."""
    content = (
        past["event_time_us"].to_numpy().tobytes()
        + past["kw"].fill_null(float("nan")).to_numpy().tobytes()
    )
    return hashlib.sha256(content).hexdigest()
