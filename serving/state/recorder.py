"""Every answer is also a record in topic `predictions`, sampled, and never at the cost of the
answer.

`produce` only copies into librdkafka's own bounded queue: with the broker away, records wait there,
expire, and are counted.
"""

import contextvars
import random
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from confluent_kafka import KafkaException, Producer

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.topics import PREDICTIONS

log = structlog.get_logger("serving")
RECORD_LIFETIME_MS = (
    30_000  # a record that could not be delivered for this long is dropped and counted
)
FLUSH_S_MAX = 2.0  # shutting down waits this long for the broker


class Recorder:
    """Sends records to Kafka in the background; `on_dropped(n)` is told of each record that will
    not arrive.
    """

    def __init__(self, settings: Settings, on_dropped: Callable[[int], None]) -> None:
        self._sample = settings.prediction_sample
        self._random = random.Random()
        self._dropped = on_dropped
        self._down = False
        self._producer = Producer(
            {
                **connections.kafka(settings),
                "queue.buffering.max.messages": settings.prediction_queue_max,
                "linger.ms": 50,
                "message.timeout.ms": RECORD_LIFETIME_MS,
                "log.connection.close": False,
                "log_level": 2,
                "error_cb": self._on_error,
            }
        )

    def record(self, symbol: str, fields: dict[str, Any]) -> None:
        """Queue one record (key = symbol), or drop and count it when the queue is full."""
        if self._sample < 1 and self._random.random() >= self._sample:
            return
        self._producer.poll(0)
        try:
            self._producer.produce(
                PREDICTIONS.name,
                orjson.dumps(fields),
                symbol.encode(),
                on_delivery=self._on_delivery,
            )
        except (BufferError, KafkaException):
            self._dropped(1)

    def poll(self) -> None:
        """Take in delivery reports, so that what was dropped is counted."""
        self._producer.poll(0)

    def close(self) -> None:
        """Deliver what is queued, for a bounded time; the rest is counted as dropped."""
        left = self._producer.flush(FLUSH_S_MAX)
        if left:
            self._producer.purge()
            self._producer.flush(FLUSH_S_MAX)

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is not None:
            self._dropped(1)
        else:
            self._down = False

    def _on_error(self, error: Any) -> None:
        if not self._down:
            # Called from within whichever request comes by: it is not about that one.
            contextvars.Context().run(
                log.warning, "predictions cannot be recorded", error=str(error)
            )
            self._down = True
