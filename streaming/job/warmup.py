"""Warm-up of a job that starts without state: replays the newest minutes of silver.

The ticks are sent through a separate topic. They pass the same windows as live ticks and are not
written to silver a second time.
"""

from typing import Any

import polars as pl
from confluent_kafka import Producer

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.topics import WARMUP
from lakehouse import tick_scans
from lakehouse.tables import Lakehouse
from streaming.feeds.tick_frame import conform, encode

# Ticks of silver in memory at a time; cut between minutes, so one minute may have more.
SLICE_TICKS = 500_000
BATCH_ROWS = 20_000
POLL_S = 0.1
FLUSH_MARGIN_S = 5.0  # every message is delivered or has failed by its time-out


def publish(settings: Settings, now_us: int, topic: str = WARMUP.name) -> int:
    """Send the ticks of the last `warmup_s` seconds before `now_us` by event time to a topic.

    Returns a count.

    Reads silver by slices, so memory does not grow with the rate of ticks. Raises ServiceError if
    Kafka does not acknowledge all of them: a gap would give wrong windows that pass for complete.
    """
    lake, from_us = Lakehouse(settings), now_us - settings.warmup_s * 1_000_000
    minutes = tick_scans.minutes(lake, from_us, now_us)
    sender = _WarmupSender(settings, topic)
    for begin_us, end_us in tick_scans.slices(minutes, from_us, now_us, SLICE_TICKS):
        for batch in lake.read_ticks(begin_us, end_us).iter_slices(BATCH_ROWS):
            sender.send(batch)
    return sender.finish()


class _WarmupSender:
    """Sends batches in order and counts their delivery reports."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._address, self._sent, self._delivered, self._error = settings.kafka, 0, 0, ""
        self._timeout_s = settings.delivery_timeout_ms / 1000 + FLUSH_MARGIN_S
        self._producer = Producer(
            {
                **connections.kafka(settings),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "queue.buffering.max.messages": settings.producer_queue_max,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
                "log_level": 2,
            },
            logger=None,
        )

    def send(self, ticks: pl.DataFrame) -> None:
        """Queue one batch, waiting for room. Raises ServiceError if a delivery has failed."""
        for key, value in zip(ticks["key"], encode(conform(ticks)), strict=True):
            self._produce(key, value)
        self._poll(0)

    def finish(self) -> int:
        """The number of messages, all of them acknowledged. Raises ServiceError otherwise."""
        self._producer.flush(self._timeout_s)
        self._require_delivered(self._sent)
        return self._sent

    def _produce(self, key: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._count)
            except BufferError:  # the queue is full; a message leaves it by its time-out at last
                self._poll(POLL_S)
            else:
                self._sent += 1
                return

    def _poll(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._error:
            self._require_delivered(self._sent)

    def _count(self, error: Any, _message: Any) -> None:
        if error is None:
            self._delivered += 1
        else:
            self._error = str(error)

    def _require_delivered(self, count: int) -> None:
        if self._delivered < count:
            raise ServiceError(
                f"{count - self._delivered:,} of {count:,} warm-up messages were not delivered to"
                f" {self._address}: {self._error or 'no answer from Kafka'}",
                "see `tick status` and `tick logs kafka`, then start the job again:"
                " `tick job submit --fresh`",
            )
