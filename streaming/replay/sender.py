"""The Kafka producer of a replay: idempotent, acks=all, keyed by symbol.

Heartbeats prove how much has arrived. An idempotent producer keeps the order within a partition,
and a heartbeat is sent to every partition after the ticks so far: once all of its copies are
acknowledged, so is every tick before it. The position therefore needs no bookkeeping per message.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import polars as pl
from confluent_kafka import KafkaException, Producer

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.errors import ServiceError
from contracts.messages import encoding
from contracts.topics import DEAD_LETTER, TICKS
from streaming.feeds import tick_frame
from streaming.feeds.types import FeedReject
from streaming.replay.sent_offsets import SentOffsets

METADATA_TIMEOUT_S = 5
CLUSTER_TIMEOUT_S = 1
HEADER_CHARS_MAX = 1024
SENDER_HEADER = "sender"  # of heartbeats: the run that sent them
BATCH_ROWS = 5_000


class Sender:
    """Sends messages and counts acknowledgements.

    The first `acknowledged` items are in Kafka without a gap; `failed` messages could not be
    delivered. `sent_offsets`: the offsets of acknowledged messages in `ticks`, heartbeats included.
    `run_id`: a header of the heartbeats, which tells senders apart.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.failed = 0
        self.acknowledged = 0
        self.reason = ""
        self.run_id = uuid4().hex[:12]
        self.cluster_id: str | None = None
        self.sent_offsets = SentOffsets()
        self._queue_max = settings.producer_queue_max
        self._timeout_s = settings.delivery_timeout_ms / 1000
        self._letters_sent = 0
        self._letters_acknowledged = 0
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

    def send_ticks(self, ticks: pl.DataFrame) -> None:
        """Send conformed ticks in order. Raises ServiceError if a delivery has failed."""
        for part in ticks.iter_slices(min(self._queue_max, BATCH_ROWS)):
            self._send_batch(part)

    def _send_batch(self, ticks: pl.DataFrame) -> None:
        """Send ticks that fit into the queue together."""
        keys = ticks.select(pl.concat_str("venue", pl.lit(":"), "symbol")).to_series().to_list()
        messages = [
            {"value": value, "key": key}
            for value, key in zip(tick_frame.encode(ticks), keys, strict=True)
        ]
        self._wait_for_room(len(messages))
        queued = self._producer.produce_batch(TICKS.name, messages, on_delivery=self._delivered)
        if queued != len(messages):
            self.failed += len(messages) - queued
            self.reason = str(next(m["_error"] for m in messages if "_error" in m))
        self.poll()

    def send_message(self, key: str, value: bytes) -> None:
        """Send one message unchanged."""
        self._wait_for_room(1)
        self._producer.produce(TICKS.name, value, key, on_delivery=self._delivered)
        self.poll()

    def send_dead_letters(self, rejects: Sequence[FeedReject]) -> None:
        """Send rejected rows of a feed, with their origin, to the dead-letter topic."""
        for reject in rejects:
            self._wait_for_room(1)
            rejected = reject.rejected
            letter, headers = encoding.dead_letter(
                rejected.raw, rejected.reason.value, f"feed:{reject.origin}", 0, reject.row
            )
            headers["detail"] = rejected.detail[:HEADER_CHARS_MAX]
            self._letters_sent += 1
            self._producer.produce(
                DEAD_LETTER.name, letter, headers=headers, on_delivery=self._letter_delivered
            )
        self.poll()

    def send_heartbeat(self, event_time_us: int, items: int) -> None:
        """Send a heartbeat to every partition; `items` is the number of items sent before it.

        Raises ServiceError if a delivery has failed.
        """
        pending = set(range(self.partitions))
        delivered = partial(self._heartbeat_delivered, pending, items, self._letters_sent)
        value = encoding.heartbeat(event_time_us)
        for partition in range(self.partitions):
            self._wait_for_room(1)  # the queue may hold fewer messages than there are partitions
            self._producer.produce(
                TICKS.name,
                value,
                partition=partition,
                headers={SENDER_HEADER: self.run_id},
                on_delivery=delivered,
            )
        self.poll()

    def require_same_cluster(self) -> None:
        """Raises ServiceError if another Kafka has taken the address since the start.

        A sender that was forgotten would otherwise send its event times to the next platform. While
        Kafka does not answer, nothing is checked.
        """
        try:
            cluster_id = self._producer.list_topics(timeout=CLUSTER_TIMEOUT_S).cluster_id
        except KafkaException:
            return
        if cluster_id != self.cluster_id:
            raise ServiceError(
                f"another Kafka answers at {self._address}: cluster {cluster_id},"
                f" before {self.cluster_id}",
                "stop this sender, or start it again if it is meant for this platform",
            )

    def poll(self) -> None:
        """Process delivery reports. Raises ServiceError if messages could not be delivered."""
        self._producer.poll(0)
        if self.failed:
            raise ServiceError(
                f"{self.failed} messages were not delivered: {self.reason}",
                "check Kafka with `tick status`, then continue with --resume: the position file"
                " records what arrived",
            )

    def flush(self, items: int = 0) -> None:
        """Wait until every message is delivered; then all `items` count as acknowledged.

        Raises ServiceError if a delivery has failed or timed out.
        """
        undelivered = self._producer.flush(self._timeout_s + 5)
        if undelivered:
            self.failed += undelivered
            self.reason = self.reason or "no answer from Kafka"
        self.poll()
        self.acknowledged = max(self.acknowledged, items)

    def _partitions(self) -> int:
        try:
            metadata = self._producer.list_topics(timeout=METADATA_TIMEOUT_S)
        except KafkaException as error:
            raise ServiceError(
                f"Kafka does not answer at {self._address}", "start it with `tick up`"
            ) from error
        self.cluster_id, topics = metadata.cluster_id, metadata.topics
        missing = [topic.name for topic in (TICKS, DEAD_LETTER) if topic.name not in topics]
        if missing:
            raise ServiceError(
                f"Kafka has no topic {', '.join(missing)}", "`tick up` creates the topics"
            )
        return len(topics[TICKS.name].partitions)

    def _wait_for_room(self, count: int) -> None:
        """Wait until the queue has room for `count` messages, so that a batch is queued in order.

        Raises ServiceError if a delivery fails meanwhile, e.g. by its time-out.
        """
        while len(self._producer) + count > self._queue_max:
            self._producer.poll(0.01)
            self.poll()

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self.sent_offsets.add(message.partition(), message.offset())
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

    def _heartbeat_delivered(
        self, pending: set[int], items: int, letters: int, error: Any, message: Any
    ) -> None:
        self._delivered(error, message)
        pending.discard(message.partition())
        if not (pending or self.failed) and self._letters_acknowledged >= letters:
            self.acknowledged = max(self.acknowledged, items)
