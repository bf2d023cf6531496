"""The synthetic exchange as a feed: history, or a market that is open now."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from streaming.feeds.types import Batch, Span
from streaming.synthetic.market import Exchange, Market, generate


@dataclass(frozen=True)
class SyntheticFeed:
    """`duration_s` of a market from `start_us` on.

    With `state` (Market.state) it continues another market. Event times are not moved: past
    ticks are sent at once, later ones at their event time.
    """

    exchange: Exchange
    start_us: int
    duration_s: float
    state: dict[str, Any] | None = None
    in_real_time: bool = True
    span_is_cheap: bool = True
    idle_lag_us: None = None

    @property
    def fingerprint(self) -> str:
        """A hash of configuration, start, duration and state."""
        return sha256(
            repr((self.exchange, self.start_us, self.duration_s, self.state)).encode()
        ).hexdigest()[:16]

    def span(self, received_us: int) -> Span:
        """From the opening to the close of the market, with or without a trade at these times."""
        return Span(self.start_us, self.start_us + int(self.duration_s * 1e6))

    def batches(self, received_us: int) -> Iterator[Batch]:
        """The market's ticks, which are valid by construction."""
        market = Market.restore(self.state) if self.state else Market(self.exchange, self.start_us)
        for ticks in generate(self.exchange, self.start_us, self.duration_s, market):
            yield Batch(ticks, pl.Series("_row", range(ticks.height), dtype=pl.Int64))
