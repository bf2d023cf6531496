"""A day of ticks → the rows of the daily tables: no I/O, no clock, undefined numbers are null."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lakehouse.schemas import (
    DAILY,
    DAILY_CORRELATION,
    DAILY_COUNTS,
    DAILY_NUMBERS,
    DAILY_PROFILE,
    DAILY_VOLATILITY,
)
from training.daily_stats import correlation, volatility, volume_profile
from training.daily_stats.trades import DAY_US, Floats, Trades, of_day

_DAY = {"event_time": pl.Datetime("us", "UTC"), "known_at_us": pl.Int64(), "symbol": pl.String()}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    DAILY_VOLATILITY: _DAY
    | {"slot": pl.Int32(), "trades": pl.Int64(), "volume": pl.Float64(), "rv_5m": pl.Float64()},
    DAILY_PROFILE: _DAY
    | {
        "bucket_low": pl.Float64(),
        "bucket_high": pl.Float64(),
        "trades": pl.Int64(),
        "volume": pl.Float64(),
        "buy_volume": pl.Float64(),
    }
    | {"is_poc": pl.Boolean(), "in_value_area": pl.Boolean()},
    DAILY_CORRELATION: _DAY
    | {"other": pl.String(), "hayashi_yoshida": pl.Float64(), "previous_tick_5m": pl.Float64()},
    # last: who finds a day here finds its details too
    DAILY: _DAY
    | dict.fromkeys(DAILY_COUNTS, pl.Int64())
    | dict.fromkeys(DAILY_NUMBERS, pl.Float64()),
}


def empty() -> dict[str, pl.DataFrame]:
    """All tables without rows."""
    return {table: pl.DataFrame(schema=schema) for table, schema in SCHEMAS.items()}


def of(ticks: pl.DataFrame, day_us: int) -> dict[str, pl.DataFrame]:
    """Rows by table of the day that begins at `day_us`; `ticks` as `lakehouse.read_ticks` gives
    them, those of that day only.
    """
    by_symbol = of_day(ticks, day_us)
    found: dict[str, list[pl.DataFrame]] = {table: [] for table in SCHEMAS}
    for symbol, trades in by_symbol.items():
        bars = volume_profile.profile(trades)
        found[DAILY_VOLATILITY].append(_frame(DAILY_VOLATILITY, day_us, symbol, _curve(trades)))
        found[DAILY_PROFILE].append(_frame(DAILY_PROFILE, day_us, symbol, _bars(bars)))
        found[DAILY].append(
            _frame(
                DAILY,
                day_us,
                symbol,
                {name: [value] for name, value in _headline(trades, bars).items()},
            )
        )
    found[DAILY_CORRELATION].append(_correlations(by_symbol, day_us))
    return {
        table: pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMAS[table])
        for table, frames in found.items()
    }


def _frame(
    table: str, day_us: int, symbol: str | list[str], columns: Mapping[str, Any]
) -> pl.DataFrame:
    day = {
        "event_time": pl.from_epoch(pl.lit(day_us), time_unit="us").dt.replace_time_zone("UTC"),
        "known_at_us": pl.lit(day_us + DAY_US),
    }
    names = pl.lit(symbol) if isinstance(symbol, str) else pl.Series(symbol, dtype=pl.String)
    schema = SCHEMAS[table]
    frame = (
        pl.DataFrame(columns)
        .with_columns(**day, symbol=names)
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    )
    return frame.with_columns(
        pl.col(name).fill_nan(None) for name, dtype in schema.items() if dtype == pl.Float64()
    )


def _curve(trades: Trades) -> dict[str, Any]:
    return {"slot": np.arange(volatility.SLOTS), **volatility.half_hours(trades)}


def _bars(bars: volume_profile.Profile) -> dict[str, Any]:
    at = np.arange(len(bars.volume))
    return {
        "bucket_low": bars.low,
        "bucket_high": bars.high,
        "trades": bars.trades,
        "volume": bars.volume,
        "buy_volume": bars.bought,
        "is_poc": at == bars.poc,
        "in_value_area": (at >= bars.first) & (at <= bars.last),
    }


def _headline(trades: Trades, bars: volume_profile.Profile) -> dict[str, float]:
    """`buy_share` is of the volume whose aggressor is known."""
    prices, sizes = trades.prices, trades.sizes
    bought, sold = float(sizes[trades.sides > 0].sum()), float(sizes[trades.sides < 0].sum())
    volume, notional = float(sizes.sum()), float(prices @ sizes)
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
        **volatility.daily(trades),
        "poc": bars.poc_price,
        "value_area_low": float(bars.low[bars.first]),
        "value_area_high": float(bars.high[bars.last]),
        "value_area_width": bars.width,
    }


def _correlations(by_symbol: Mapping[str, Trades], day_us: int) -> pl.DataFrame:
    """A row per pair in the order of names, and of each symbol with itself."""
    if not by_symbol:
        return pl.DataFrame(schema=SCHEMAS[DAILY_CORRELATION])
    names, trades = list(by_symbol), list(by_symbol.values())
    made: dict[str, Floats] = {
        "hayashi_yoshida": correlation.hayashi_yoshida(trades),
        "previous_tick_5m": correlation.five_minutes(trades),
    }
    first, second = np.triu_indices(len(names))
    columns = {name: matrix[first, second] for name, matrix in made.items()} | {
        "other": [names[i] for i in second]
    }
    return _frame(DAILY_CORRELATION, day_us, [names[i] for i in first], columns)
