"""Volume by price of one symbol's day: buckets, point of control, 70 % value area, bought volume.

After Steidlmayer's Market Profile (1984).
"""

import math
from dataclasses import dataclass

import numpy as np

from training.daily_stats.trades import Floats, Ints, Trades

BUCKET_BP = 5.0
VALUE_AREA = 0.70
DECIMALS_MAX = 9
DISTINCT_MIN = 20  # fewer prices may share a divisor by chance: 100 and 150 have no tick of 50


@dataclass(frozen=True)
class VolumeProfile:
    """Buckets with volume, in ascending price; all arrays are (buckets,).

    `low` and `high` are the lowest and highest price of a bucket. `poc` is the index of the point
    of control, the bucket with most volume (the lowest of equals); `first` and `last` are the ends
    of the value area, both included.
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
    def value_area_width(self) -> float:
        """ln(highest / lowest price) of the value area; 0 for a single price."""
        return max(0.0, math.log(float(self.high[self.last]) / float(self.low[self.first])))


def tick_size(prices: Floats) -> float:
    """Price step: common divisor of the prices, or of few prices a unit of their last decimal."""
    distinct = np.unique(prices)
    for decimals in range(DECIMALS_MAX + 1):
        levels = np.rint(distinct * 10**decimals)
        if np.allclose(levels / 10**decimals, distinct, rtol=1e-12, atol=0):
            break
    divisor = int(np.gcd.reduce(levels.astype(np.int64))) if len(distinct) >= DISTINCT_MIN else 1
    return float(max(divisor, 1) / 10**decimals)


def ticks_per_bucket(tick: float, price: float) -> int:
    """Ticks of a bucket of 5 bp of `price`, at least 1.

    Rounded up to whole ticks, so that every bucket has equally many price levels.
    """
    return max(1, math.ceil(price * BUCKET_BP * 1e-4 / tick - 1e-9))


def value_area(volume: Floats, poc: int) -> tuple[int, int]:
    """First and last bucket of the value area: at least 70 % of the volume around `poc`.

    It grows by the neighbour with more volume, by the lower one of equals.
    """
    volumes = volume.tolist()
    first = last = poc
    area_volume = volumes[poc]
    required = VALUE_AREA * sum(volumes) * (1 - 1e-12)
    while area_volume < required:
        below = volumes[first - 1] if first > 0 else -1.0
        above = volumes[last + 1] if last + 1 < len(volumes) else -1.0
        if below >= above:
            first -= 1
        else:
            last += 1
        area_volume += max(below, above)
    return first, last


def build_profile(trades: Trades) -> VolumeProfile:
    """Profile of a day; the height of a bucket follows from the day's first price."""
    tick = tick_size(trades.prices)
    bucket_ticks = ticks_per_bucket(tick, float(trades.prices[0]))
    price_ticks = np.rint(trades.prices / tick).astype(np.int64)
    buckets, bucket_of_trade = np.unique(price_ticks // bucket_ticks, return_inverse=True)
    volume: Floats = np.bincount(bucket_of_trade, trades.sizes).astype(np.float64)
    bought_sizes = np.where(trades.sides > 0, trades.sizes, 0.0)
    poc = int(np.argmax(volume))
    first, last = value_area(volume, poc)
    return VolumeProfile(
        # The outermost buckets end at the day's lowest and highest price.
        low=np.maximum(buckets * bucket_ticks * tick, trades.prices.min()),
        high=np.minimum(((buckets + 1) * bucket_ticks - 1) * tick, trades.prices.max()),
        volume=volume,
        bought=np.bincount(bucket_of_trade, bought_sizes).astype(np.float64),
        trades=np.bincount(bucket_of_trade),
        poc=poc,
        first=first,
        last=last,
    )
