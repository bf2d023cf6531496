"""Volume by price of one symbol's day: buckets, point of control, 70 % value area (Steidlmayer's
Market Profile), buy volume.
"""

import math
from dataclasses import dataclass

import numpy as np

from training.daily_stats.trades import Floats, Ints, Trades

BUCKET_BP = 5.0
VALUE_AREA = 0.70
DECIMALS_MAX = 9
DISTINCT_MIN = 20  # fewer prices share a divisor by chance: 100 and 150 have no tick of 50


@dataclass(frozen=True)
class Profile:
    """Buckets with volume, rising in price: lowest and highest price of each, volume, volume
    bought, number of trades.

    `poc`: the bucket with most volume (the lowest of equals). `first`, `last`: the value area, both
    included.
    """

    low: Floats
    high: Floats
    volume: Floats
    bought: Floats
    trades: Ints
    poc: int
    first: int
    last: int

    @property
    def poc_price(self) -> float:
        """Middle of the point of control."""
        return float(self.low[self.poc] + self.high[self.poc]) / 2

    @property
    def width(self) -> float:
        """Height of the value area as ln(highest / lowest); 0 when one price holds it."""
        return max(0.0, math.log(float(self.high[self.last]) / float(self.low[self.first])))


def tick_size(prices: Floats) -> float:
    """The price step: the decimals that the prices use, and the common divisor of enough of
    them."""
    distinct = np.unique(prices)
    for decimals in range(DECIMALS_MAX + 1):
        levels = np.rint(distinct * 10**decimals)
        if np.allclose(levels / 10**decimals, distinct, rtol=1e-12, atol=0):
            break
    shared = int(np.gcd.reduce(levels.astype(np.int64))) if len(distinct) >= DISTINCT_MIN else 1
    return float(max(shared, 1) / 10**decimals)


def bucket_ticks(tick: float, price: float) -> int:
    """Ticks of one bucket: max(tick, 5 bp of `price`), rounded up to whole ticks so that every
    bucket has equally many levels.
    """
    return max(1, math.ceil(price * BUCKET_BP * 1e-4 / tick - 1e-9))


def value_area(volume: Floats, poc: int) -> tuple[int, int]:
    """(first, last) bucket around `poc` with at least 70 % of the volume, grown by the larger
    neighbour, by the lower of equals.
    """
    bars = volume.tolist()
    first = last = poc
    held, wanted = bars[poc], VALUE_AREA * sum(bars) * (1 - 1e-12)
    while held < wanted:
        below = bars[first - 1] if first > 0 else -1.0
        above = bars[last + 1] if last + 1 < len(bars) else -1.0
        if below >= above:
            first -= 1
        else:
            last += 1
        held += max(below, above)
    return first, last


def profile(trades: Trades) -> Profile:
    """The profile of a day; the bucket's height follows from the day's first price."""
    tick = tick_size(trades.prices)
    ticks = bucket_ticks(tick, float(trades.prices[0]))
    buckets, which = np.unique(
        np.rint(trades.prices / tick).astype(np.int64) // ticks, return_inverse=True
    )
    volume: Floats = np.bincount(which, trades.sizes).astype(np.float64)
    poc = int(np.argmax(volume))
    first, last = value_area(volume, poc)
    return Profile(
        # the outermost buckets end where the day does
        low=np.maximum(buckets * ticks * tick, trades.prices.min()),
        high=np.minimum(((buckets + 1) * ticks - 1) * tick, trades.prices.max()),
        volume=volume,
        bought=np.bincount(which, np.where(trades.sides > 0, trades.sizes, 0.0)).astype(np.float64),
        trades=np.bincount(which),
        poc=poc,
        first=first,
        last=last,
    )
