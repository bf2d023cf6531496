"""Ticks for measurements: a fixed number per symbol and second, so that row counts are known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from confluent_kafka import Producer

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.durations import MINUTE_US, SECOND_US
from contracts.messages import encoding
from contracts.tick import Tick
from contracts.topics import TICKS
from contracts.windows import LEVELS
from streaming.feeds.tick_frame import conform
from streaming.replay.sender import Sender

FRAME_TICKS = 50_000
FLUSH_S = 60.0
# The last message of every partition is not JSON: its dead letter shows that the raw reader has
# reached the end as well.
END = b"end of chunk"


@dataclass(frozen=True, slots=True)
class Chunk:
    """`per_tile` ticks per second and symbol, for `seconds` from `start_us` (a whole minute) on."""

    start_us: int
    seconds: int
    per_tile: int
    symbols: int

    @property
    def ticks(self) -> int:
        """Number of ticks."""
        return self.tiles * self.per_tile

    @property
    def tiles(self) -> int:
        """Number of tiles: one per second and symbol."""
        return self.seconds * self.symbols

    @property
    def rows(self) -> int:
        """Number of feature rows that must result: one per tile and per bar of each level."""
        return sum(-(-self.seconds // level.tile_s) for level in LEVELS) * self.symbols

    @property
    def close_us(self) -> int:
        """A second after a whole minute by which every tile and bar has ended."""
        return self.next_us - MINUTE_US + SECOND_US

    @property
    def next_us(self) -> int:
        """The earliest start of another chunk."""
        return self.start_us + (-(-self.seconds // 60) + 1) * MINUTE_US

    def frames(self) -> Iterator[pl.DataFrame]:
        """The ticks by event time, in batches of about FRAME_TICKS."""
        rng = np.random.default_rng(self.start_us)
        step = max(1, FRAME_TICKS // (self.symbols * self.per_tile))
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
        names = pl.Series([f"S{number:03}" for number in range(self.symbols)])
        # Sizes as BTC's: a fifth is below 0.0001.
        sizes = np.maximum(np.round(6e-4 * rng.lognormal(sigma=2.5, size=rows), 5), 1e-5)
        values = {
            "symbol": names.gather(tile % self.symbols),
            "event_time_us": event_us,
            "ingest_time_us": event_us + 10_000,
            "price": np.round(prices, 2),
            "size": sizes,
            "side": rng.choice([-1, 1], rows),
            "seq": seq,
        }
        frame = pl.DataFrame(values).with_columns(
            venue=pl.lit("BENCH"),
            trade_id=pl.concat_str(pl.lit(f"{self.start_us}-"), pl.col("seq")),
        )
        return conform(frame.select(Tick._fields[:9])).sort("event_time_us")


def send_chunk(settings: KafkaSettings, chunk: Chunk) -> None:
    """Send a chunk as a replay at speed 0 does, then END to every partition."""
    sender = Sender(settings)
    for frame in chunk.frames():
        sender.send_ticks(frame)
    sender.flush()
    to_every_partition(settings, END)


def send_heartbeat(settings: KafkaSettings, chunk: Chunk) -> None:
    """Send a heartbeat that closes every bar of the chunk.

    Must be repeated: Flink does not advance the watermark once all partitions are silent.
    """
    to_every_partition(settings, encoding.heartbeat(chunk.close_us))


def to_every_partition(settings: KafkaSettings, value: bytes) -> None:
    """Send one message to each partition of topic `ticks`."""
    producer = Producer({**connections.kafka(settings), "enable.idempotence": True})
    for partition in range(TICKS.partitions):
        producer.produce(TICKS.name, value, partition=partition)
    producer.flush(FLUSH_S)
