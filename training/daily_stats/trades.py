"""Trades of one symbol on one UTC day as arrays, the input of all daily statistics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts.durations import DAY_US, SECOND_US

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Trades:
    """At least one trade in [day_us, day_us + 1 day), µs UTC; all arrays are (trades,).

    Sorted by (event time, seq, trade id). `sides` is +1 if the buyer was the aggressor, -1 if the
    seller was, 0 if unknown.
    """

    day_us: int
    times_us: Ints
    prices: Floats
    sizes: Floats
    sides: Ints

    @cached_property
    def log_prices(self) -> Floats:
        """Natural logarithm of the prices."""
        return np.asarray(np.log(self.prices))

    def log_price_before(self, at_us: Ints) -> Floats:
        """Log price of the last trade before each time; the day's first one if there is none."""
        previous = np.searchsorted(self.times_us, at_us, side="left") - 1
        return np.asarray(self.log_prices[np.maximum(previous, 0)])

    def log_price_grid(self, step_s: int) -> Floats:
        """`log_price_before` every `step_s` seconds, both ends of the day included.

        Shape (86,400 / step_s + 1,).
        """
        grid_us = np.arange(
            self.day_us, self.day_us + DAY_US + 1, step_s * SECOND_US, dtype=np.int64
        )
        return self.log_price_before(grid_us)


def trades_by_symbol(ticks: pl.DataFrame, day_us: int) -> dict[str, Trades]:
    """Trades by VENUE:SYMBOL, sorted by symbol.

    `ticks` are those of the day, with key, event_time_us, seq, trade_id, price, size and side.
    """
    # A total order: files of the lakehouse are unordered, and float sums depend on the order.
    ordered = ticks.sort("key", "event_time_us", "seq", "trade_id")
    parts = ordered.partition_by("key", as_dict=True, maintain_order=True)
    return {str(key): _to_trades(part, day_us) for (key,), part in parts.items()}


def _to_trades(ticks: pl.DataFrame, day_us: int) -> Trades:
    return Trades(
        day_us=day_us,
        times_us=ticks["event_time_us"].to_numpy(),
        prices=ticks["price"].to_numpy(),
        sizes=ticks["size"].to_numpy(),
        sides=ticks["side"].fill_null(0).cast(pl.Int64).to_numpy(),
    )
