"""The synthetic exchange as a feed: history to load, or a market that is open now."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from streaming.feeds.types import Batch, Span
from streaming.synthetic.market import Exchange, Market, generate


@dataclass(frozen=True)
class SyntheticFeed:
    """`duration_s` of a market from `start_us` on. With `state` (Market.state) it goes on where
    another one stopped.

    Event times are true as they are: what lies before now is sent at once, what comes later when it
    happens.
    """

    exchange: Exchange
    start_us: int
    duration_s: float
    state: dict[str, Any] | None = None
    in_real_time: bool = True
    span_is_cheap: bool = True
    quiet_lag_us: None = None

    @property
    def fingerprint(self) -> str:
        """Of configuration, start and duration."""
        return sha256(
            repr((self.exchange, self.start_us, self.duration_s, self.state)).encode()
        ).hexdigest()[:16]

    def span(self, received_us: int) -> Span:
        """From the opening to the close, whether or not a trade falls on them."""
        return Span(self.start_us, self.start_us + int(self.duration_s * 1e6))

    def batches(self, received_us: int) -> Iterator[Batch]:
        """The market's ticks; every one of them is valid by construction."""
        market = Market.restore(self.state) if self.state else Market(self.exchange, self.start_us)
        for ticks in generate(self.exchange, self.start_us, self.duration_s, market):
            yield Batch(ticks, pl.Series("_row", range(ticks.height), dtype=pl.Int64))
