"""Ticks of a known shape for measuring: exactly so many per symbol and second, so that tiles and
bars can be counted ahead.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from confluent_kafka import Producer

from contracts import wire
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.tick import Tick
from contracts.topics import TICKS
from contracts.windows import LEVELS
from streaming.feeds.tick_frame import conform
from streaming.replay.sender import Sender

FRAME_TICKS = 50_000
FLUSH_S = 60.0
MINUTE_US = 60_000_000
SECOND_US = 1_000_000
# The last message of every partition, no JSON: its dead letter tells that the reader of raw
# messages has come to the end, too.
END = b"end of chunk"


@dataclass(frozen=True, slots=True)
class Chunk:
    """`per_tile` ticks in each of `seconds` for each of `symbols`, from `start_us` (a whole minute)
    on.
    """

    start_us: int
    seconds: int
    per_tile: int
    symbols: int

    @property
    def ticks(self) -> int:
        """How many there are."""
        return self.tiles * self.per_tile

    @property
    def tiles(self) -> int:
        """Tiles of a second and a symbol."""
        return self.seconds * self.symbols

    @property
    def rows(self) -> int:
        """Feature rows that must come of them: a row per tile and per bar of each level."""
        return sum(-(-self.seconds // level.tile_s) for level in LEVELS) * self.symbols

    @property
    def close_us(self) -> int:
        """A whole minute by which every tile and bar has ended, a second past it."""
        return self.next_us - MINUTE_US + SECOND_US

    @property
    def next_us(self) -> int:
        """Where another chunk may start."""
        return self.start_us + (-(-self.seconds // 60) + 1) * MINUTE_US

    def frames(self) -> Iterator[pl.DataFrame]:
        """The ticks in order of event time, in batches of about FRAME_TICKS."""
        rng, step = (
            np.random.default_rng(self.start_us),
            max(1, FRAME_TICKS // (self.symbols * self.per_tile)),
        )
        for second in range(0, self.seconds, step):
            yield self._frame(rng, second, min(step, self.seconds - second))

    def _frame(self, rng: np.random.Generator, second: int, seconds: int) -> pl.DataFrame:
        rows = seconds * self.symbols * self.per_tile
        tile = np.repeat(np.arange(seconds * self.symbols), self.per_tile)
        event_us = (
            self.start_us
            + (second + tile // self.symbols) * SECOND_US
            + rng.integers(0, SECOND_US, rows)
        )
        seq = second * self.symbols * self.per_tile + np.arange(rows)
        prices = 60_000 * np.exp(1e-3 * np.sin(event_us / 60e6) + 1e-4 * rng.standard_normal(rows))
        made = {
            "symbol": [f"S{number:03}" for number in range(self.symbols)],
            "event_time_us": event_us,
            "ingest_time_us": event_us + 10_000,
            "price": np.round(prices, 2),
            "size": np.maximum(
                np.round(6e-4 * rng.lognormal(sigma=2.5, size=rows), 5), 1e-5
            ),  # as BTC's: a fifth below 0.0001
            "side": rng.choice([-1, 1], rows),
            "seq": seq,
        }
        made["symbol"] = pl.Series(made["symbol"]).gather(tile % self.symbols)
        frame = pl.DataFrame(made).with_columns(
            venue=pl.lit("BENCH"),
            trade_id=pl.concat_str(pl.lit(f"{self.start_us}-"), pl.col("seq")),
        )
        return conform(frame.select(Tick._fields[:9])).sort("event_time_us")


def fill(settings: Settings, chunk: Chunk) -> None:
    """Send a chunk as a replay at speed 0 would, then the end of every partition."""
    sender = Sender(settings)
    for frame in chunk.frames():
        sender.ticks(frame)
    sender.flush()
    to_every_partition(settings, END)


def beat(settings: Settings, chunk: Chunk) -> None:
    """A heartbeat that closes every bar. Once is not enough: when all partitions fall silent
    together, Flink holds event time.
    """
    to_every_partition(settings, wire.heartbeat(chunk.close_us))


def to_every_partition(settings: Settings, value: bytes) -> None:
    """Send one message to each partition of topic `ticks`."""
    producer = Producer({**connections.kafka(settings), "enable.idempotence": True})
    for partition in range(TICKS.partitions):
        producer.produce(TICKS.name, value, partition=partition)
    producer.flush(FLUSH_S)
