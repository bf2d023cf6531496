"""Rows of the daily tables from the ticks of a day. Pure; undefined numbers are null."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from contracts.durations import DAY_US
from lakehouse.schemas import (
    DAILY,
    DAILY_CORRELATION,
    DAILY_COUNTS,
    DAILY_NUMBERS,
    DAILY_PROFILE,
    DAILY_VOLATILITY,
)
from training.daily_stats import correlation, volatility, volume_profile
from training.daily_stats.trades import Trades, trades_by_symbol
from training.daily_stats.volume_profile import VolumeProfile

_DAY = {"event_time": pl.Datetime("us", "UTC"), "known_at_us": pl.Int64(), "symbol": pl.String()}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    DAILY_VOLATILITY: {
        **_DAY,
        "slot": pl.Int32(),
        "trades": pl.Int64(),
        "volume": pl.Float64(),
        "rv_5m": pl.Float64(),
    },
    DAILY_PROFILE: {
        **_DAY,
        "bucket_low": pl.Float64(),
        "bucket_high": pl.Float64(),
        "trades": pl.Int64(),
        "volume": pl.Float64(),
        "buy_volume": pl.Float64(),
        "is_poc": pl.Boolean(),
        "in_value_area": pl.Boolean(),
    },
    DAILY_CORRELATION: {
        **_DAY,
        "other": pl.String(),
        "hayashi_yoshida": pl.Float64(),
        "previous_tick_5m": pl.Float64(),
    },
    # Last, so that a day in this table always has its details in the others.
    DAILY: {
        **_DAY,
        **dict.fromkeys(DAILY_COUNTS, pl.Int64()),
        **dict.fromkeys(DAILY_NUMBERS, pl.Float64()),
    },
}


def empty_tables() -> dict[str, pl.DataFrame]:
    """All tables without rows, in the order of writing."""
    return {table: pl.DataFrame(schema=schema) for table, schema in SCHEMAS.items()}


def daily_rows(ticks: pl.DataFrame, day_us: int) -> dict[str, pl.DataFrame]:
    """Rows by table of the day that begins at `day_us` (µs UTC).

    `ticks` are those of the day, as `Lakehouse.read_ticks` returns them.
    """
    trades_of = trades_by_symbol(ticks, day_us)
    frames: dict[str, list[pl.DataFrame]] = {table: [] for table in SCHEMAS}
    for symbol, trades in trades_of.items():
        profile = volume_profile.build_profile(trades)
        columns = {
            DAILY_VOLATILITY: _volatility_columns(trades),
            DAILY_PROFILE: _profile_columns(profile),
            DAILY: {name: [value] for name, value in _headline(trades, profile).items()},
        }
        for table, values in columns.items():
            frames[table].append(_build_frame(table, day_us, symbol, values))
    frames[DAILY_CORRELATION].append(_correlation_rows(trades_of, day_us))
    return {
        table: pl.concat(parts) if parts else pl.DataFrame(schema=SCHEMAS[table])
        for table, parts in frames.items()
    }


def _build_frame(
    table: str, day_us: int, symbol: str | list[str], columns: Mapping[str, Any]
) -> pl.DataFrame:
    schema = SCHEMAS[table]
    event_time = pl.from_epoch(pl.lit(day_us), time_unit="us").dt.replace_time_zone("UTC")
    symbols = pl.lit(symbol) if isinstance(symbol, str) else pl.Series(symbol, dtype=pl.String)
    frame = (
        pl.DataFrame(columns)
        .with_columns(event_time=event_time, known_at_us=pl.lit(day_us + DAY_US), symbol=symbols)
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    )
    return frame.with_columns(
        pl.col(name).fill_nan(None) for name, dtype in schema.items() if dtype == pl.Float64()
    )


def _volatility_columns(trades: Trades) -> dict[str, Any]:
    return {"slot": np.arange(volatility.SLOTS), **volatility.half_hour_curve(trades)}


def _profile_columns(profile: VolumeProfile) -> dict[str, Any]:
    bucket = np.arange(len(profile.volume))
    return {
        "bucket_low": profile.low,
        "bucket_high": profile.high,
        "trades": profile.trades,
        "volume": profile.volume,
        "buy_volume": profile.bought,
        "is_poc": bucket == profile.poc,
        "in_value_area": (bucket >= profile.first) & (bucket <= profile.last),
    }


def _headline(trades: Trades, profile: VolumeProfile) -> dict[str, float]:
    """Row of the daily table. `buy_share` is of the volume whose aggressor is known."""
    prices = trades.prices
    sizes = trades.sizes
    bought = float(sizes[trades.sides > 0].sum())
    sold = float(sizes[trades.sides < 0].sum())
    volume = float(sizes.sum())
    notional = float(prices @ sizes)
    return {
        "trades": len(prices),
        "volume": volume,
        "notional": notional,
        "buy_share": bought / (bought + sold) if bought + sold > 0 else math.nan,
        "open": float(prices[0]),
        "high": float(prices.max()),
        "low": float(prices.min()),
        "close": float(prices[-1]),
        "vwap": notional / volume,
        "log_return": math.log(float(prices[-1]) / float(prices[0])),
        **volatility.daily_volatility(trades),
        "poc": profile.poc_price,
        "value_area_low": float(profile.low[profile.first]),
        "value_area_high": float(profile.high[profile.last]),
        "value_area_width": profile.value_area_width,
    }


def _correlation_rows(trades_of: Mapping[str, Trades], day_us: int) -> pl.DataFrame:
    """A row for each unordered pair of symbols, including each symbol with itself."""
    if not trades_of:
        return pl.DataFrame(schema=SCHEMAS[DAILY_CORRELATION])
    names = list(trades_of)
    trades = list(trades_of.values())
    first, second = np.triu_indices(len(names))
    columns = {
        "other": [names[i] for i in second],
        "hayashi_yoshida": correlation.hayashi_yoshida(trades)[first, second],
        "previous_tick_5m": correlation.five_minute_correlation(trades)[first, second],
    }
    return _build_frame(DAILY_CORRELATION, day_us, [names[i] for i in first], columns)
