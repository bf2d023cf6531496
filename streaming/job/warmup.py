"""Warm-up of a job that starts without state: replays the newest minutes of silver.

The ticks are sent through a separate topic. They pass the same windows as live ticks and are not
written to silver a second time.
"""

import polars as pl
from confluent_kafka import Producer

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.topics import WARMUP
from lakehouse.tables import Lakehouse
from streaming.feeds.tick_frame import conform, encode

FLUSH_S = 60.0
BATCH_ROWS = 20_000


def publish(settings: Settings, now_us: int) -> int:
    """Send the ticks of the last `warmup_s` seconds before `now_us` by event time; returns a count.

    Raises ServiceError if Kafka does not acknowledge all of them.
    """
    ticks = Lakehouse(settings).read_ticks(now_us - settings.warmup_s * 1_000_000, now_us)
    producer = Producer(
        {**connections.kafka(settings), "enable.idempotence": True, "compression.type": "lz4"}
    )
    for batch in ticks.iter_slices(BATCH_ROWS):
        _send(producer, batch)
    if left := producer.flush(FLUSH_S):
        raise ServiceError(
            f"{left} warm-up messages were not delivered to {settings.kafka}",
            "see `tick logs kafka`",
        )
    return len(ticks)


def _send(producer: Producer, ticks: pl.DataFrame) -> None:
    for key, value in zip(ticks["key"], encode(conform(ticks)), strict=True):
        producer.produce(WARMUP.name, value, key)
    producer.flush(FLUSH_S)
