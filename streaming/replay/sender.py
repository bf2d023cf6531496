"""The Kafka side of a replay: idempotent, acks=all, keyed by symbol; heartbeats prove how far
everything has arrived.

Within a partition an idempotent producer keeps order. A heartbeat goes to every partition behind
the ticks sent so far, so when all of its copies are acknowledged, so is every tick before it: the
position needs no bookkeeping per message.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import polars as pl
from confluent_kafka import KafkaException, Producer

from contracts import wire
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.tick import MESSAGE_BYTES_MAX
from contracts.topics import DEAD_LETTER, TICKS
from streaming.feeds import tick_frame
from streaming.feeds.types import FeedReject
from streaming.replay.written import Written

METADATA_TIMEOUT_S = 5
HEADER_CHARS_MAX = 1024


class Sender:
    """Sends and counts.

    `acknowledged` items are in Kafka without a gap; `failed` messages could not be delivered.
    `written`: where its messages are in `ticks`, heartbeats included.
    """

    def __init__(self, settings: Settings) -> None:
        self.failed, self.acknowledged, self.reason = 0, 0, ""
        self.written = Written()
        self._queue_max, self._timeout_s = (
            settings.producer_queue_max,
            settings.delivery_timeout_ms / 1000,
        )
        self._letters_sent = self._letters_acknowledged = 0
        self._address = settings.kafka
        self._producer = Producer(
            {
                **connections.kafka(settings),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": settings.producer_linger_ms,
                "queue.buffering.max.messages": settings.producer_queue_max,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
                "compression.type": "lz4",
                "log_level": 2,
            },
            logger=None,
        )
        self.partitions = self._partitions()

    def ticks(self, ticks: pl.DataFrame) -> None:
        """Send conformed ticks in order. Raises ServiceError after a delivery failed."""
        keys = ticks.select(pl.concat_str("venue", pl.lit(":"), "symbol")).to_series().to_list()
        messages = [
            {"value": value, "key": key}
            for value, key in zip(tick_frame.encode(ticks), keys, strict=True)
        ]
        self._room(len(messages))
        queued = self._producer.produce_batch(TICKS.name, messages, on_delivery=self._delivered)
        if queued != len(messages):
            self.failed += len(messages) - queued
            self.reason = str(next(m["_error"] for m in messages if "_error" in m))
        self.poll()

    def message(self, key: str, value: bytes) -> None:
        """Send one message as it is."""
        self._room(1)
        self._producer.produce(TICKS.name, value, key, on_delivery=self._delivered)
        self.poll()

    def dead_letters(self, rejects: Sequence[FeedReject]) -> None:
        """Send rows a feed could not use, with their origin, to the dead-letter topic.

        Of a long row the first MESSAGE_BYTES_MAX bytes are sent: a producer refuses a message of
        more than 1,000,000.
        """
        for reject in rejects:
            self._room(1)
            headers = {
                "reason": reject.rejected.reason.value,
                "topic": f"feed:{reject.origin}",
                "partition": "0",
                "offset": str(reject.row),
                "detail": reject.rejected.detail[:HEADER_CHARS_MAX],
            }
            raw = reject.rejected.raw
            if len(raw) > MESSAGE_BYTES_MAX:
                headers["bytes"] = str(len(raw))
            self._letters_sent += 1
            letter = raw[:MESSAGE_BYTES_MAX]
            self._producer.produce(
                DEAD_LETTER.name, letter, headers=headers, on_delivery=self._letter_delivered
            )
        self.poll()

    def beat(self, event_time_us: int, items: int) -> None:
        """A heartbeat to every partition; `items` is what has been sent before it. Raises
        ServiceError after a failure.
        """
        self._room(self.partitions)
        waiting = set(range(self.partitions))
        arrived = partial(self._beat_delivered, waiting, items, self._letters_sent)
        for partition in range(self.partitions):
            self._producer.produce(
                TICKS.name, wire.heartbeat(event_time_us), partition=partition, on_delivery=arrived
            )
        self.poll()

    def poll(self) -> None:
        """Take delivery reports. Raises ServiceError with the number of messages that could not be
        delivered.
        """
        self._producer.poll(0)
        if self.failed:
            raise ServiceError(
                f"{self.failed} messages were not delivered: {self.reason}",
                "see `tick status`; the position file knows what arrived: go on with --resume",
            )

    def flush(self, items: int = 0) -> None:
        """Wait until everything is delivered or given up; then all `items` are. Raises ServiceError
        as `poll`.
        """
        left = self._producer.flush(self._timeout_s + 5)
        if left:
            self.failed += left
            self.reason = self.reason or "no answer from Kafka"
        self.poll()
        self.acknowledged = max(self.acknowledged, items)

    def _partitions(self) -> int:
        try:
            topics = self._producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        except KafkaException as error:
            raise ServiceError(
                f"Kafka does not answer at {self._address}", "start it with `tick up`"
            ) from error
        missing = [topic.name for topic in (TICKS, DEAD_LETTER) if topic.name not in topics]
        if missing:
            raise ServiceError(
                f"Kafka has no topic {', '.join(missing)}", "`tick up` creates the topics"
            )
        return len(topics[TICKS.name].partitions)

    def _room(self, count: int) -> None:
        """Wait until the queue takes `count` more: then a batch is queued whole, in order, or the
        delivery time-out speaks.
        """
        while len(self._producer) + count > self._queue_max:
            self._producer.poll(0.01)
            self.poll()

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self.written.add(message.partition(), message.offset())
        else:
            self._count_failure(error)

    def _count_failure(self, error: Any) -> None:
        self.failed += 1
        self.reason = str(error)

    def _letter_delivered(self, error: Any, _message: Any) -> None:
        if error is None:
            self._letters_acknowledged += 1
        else:
            self._count_failure(error)

    def _beat_delivered(
        self, waiting: set[int], items: int, letters: int, error: Any, message: Any
    ) -> None:
        self._delivered(error, message)
        if error is not None:
            return
        waiting.discard(message.partition())
        if not waiting and not self.failed and self._letters_acknowledged >= letters:
            self.acknowledged = max(self.acknowledged, items)
