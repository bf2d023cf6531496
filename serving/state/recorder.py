"""Records predictions in topic `predictions`: sampled, in the background, without delaying a
response.

`produce` only copies into librdkafka's bounded queue. While the broker is unavailable, records wait
there, expire, and are counted as dropped.
"""

import contextvars
import random
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.prediction import PredictionRecord, Source
from contracts.topics import PREDICTIONS
from serving.core.answer import Answer

log = structlog.get_logger("serving")
RECORD_LIFETIME_MS = 30_000  # a record that is not delivered within this time is dropped
FLUSH_S_MAX = 2.0  # shutdown waits this long for the broker


def prediction_record(
    answer: Answer, request_id: str, served_at_us: int, is_shadow: bool = False
) -> PredictionRecord:
    """The record of an answer with a prediction; `is_shadow` when it was not served."""
    assert answer.model is not None
    source = Source.SHADOW if is_shadow else Source.ONLINE
    return PredictionRecord(
        request_id=request_id,
        symbol=answer.symbol,
        served_at_us=served_at_us,
        source=Source.REQUEST if answer.event_times_us is None else source,
        model_name=answer.model.name,
        model_version=answer.model.version,
        prediction_bps=answer.prediction_bps,
        known_at_us=answer.known_at_us,
        event_times_us=answer.event_times_us,
        features=answer.features,
        age_s=answer.outcome.age_s,
        stale=answer.outcome.stale,
    )


class Recorder:
    """Sends records to Kafka in the background; calls `on_dropped(n)` for records that are lost."""

    def __init__(self, settings: Settings, on_dropped: Callable[[int], None]) -> None:
        self._sample_share = settings.prediction_sample
        self._random = random.Random()
        self._on_dropped = on_dropped
        self._is_down = False
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

    def record(self, record: PredictionRecord) -> None:
        """Queue one record (key = symbol), or drop and count it when the queue is full."""
        if self._random.random() >= self._sample_share:
            return
        self._producer.poll(0)
        try:
            self._producer.produce(
                PREDICTIONS.name,
                record.to_json(),
                record.symbol.encode(),
                on_delivery=self._on_delivery,
            )
        except (BufferError, KafkaException):
            self._on_dropped(1)

    def poll(self) -> None:
        """Process delivery reports, so that the count of dropped records is current."""
        self._producer.poll(0)

    def close(self) -> None:
        """Deliver the queued records, for at most `FLUSH_S_MAX`; the rest is counted as dropped."""
        undelivered = self._producer.flush(FLUSH_S_MAX)
        if undelivered:
            self._producer.purge()
            self._producer.flush(FLUSH_S_MAX)

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is not None:
            self._on_dropped(1)
        else:
            self._is_down = False

    def _on_error(self, error: Any) -> None:
        if not self._is_down:
            # librdkafka calls this from `poll`, within an unrelated request: an empty context
            # keeps that request's id out of the log line.
            contextvars.Context().run(
                log.warning, "predictions cannot be recorded", error=str(error)
            )
            self._is_down = True
