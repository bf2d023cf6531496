"""One symbol's trades of one UTC day as arrays: what every daily statistic is computed from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


@dataclass(frozen=True)
class Trades:
    """At least one trade with event time in [day_us, day_us + 1 day) µs UTC, by (event time, seq,
    trade id).

    `sides`: +1 buyer, −1 seller aggressor, 0 unknown.
    """

    day_us: int
    times_us: Ints
    prices: Floats
    sizes: Floats
    sides: Ints

    @cached_property
    def logs(self) -> Floats:
        """Log prices."""
        return np.asarray(np.log(self.prices))

    def before(self, at_us: Ints) -> Floats:
        """Log price of the last trade before each time; before the first trade of the day, that
        first one.
        """
        found = np.searchsorted(self.times_us, at_us, side="left") - 1
        return np.asarray(self.logs[np.maximum(found, 0)])

    def grid(self, step_s: int) -> Floats:
        """`before` at 0, step, 2·step … seconds of the day, its end included: `86,400 / step + 1`
        log prices.
        """
        return self.before(
            np.arange(self.day_us, self.day_us + DAY_US + 1, step_s * SECOND_US, dtype=np.int64)
        )


def of_day(ticks: pl.DataFrame, day_us: int) -> dict[str, Trades]:
    """Trades by VENUE:SYMBOL, sorted, from ticks of that day (columns key, event_time_us, seq,
    trade_id, price, size, side).
    """
    # also by trade id: files of the lake have no order, and a sum in another order is another float
    ordered = ticks.sort("key", "event_time_us", "seq", "trade_id")
    parts = ordered.partition_by("key", as_dict=True, maintain_order=True)
    return {str(key): _trades(part, day_us) for (key,), part in parts.items()}


def _trades(part: pl.DataFrame, day_us: int) -> Trades:
    sides = part["side"].fill_null(0).cast(pl.Int64).to_numpy()
    return Trades(
        day_us,
        part["event_time_us"].to_numpy(),
        part["price"].to_numpy(),
        part["size"].to_numpy(),
        sides,
    )
