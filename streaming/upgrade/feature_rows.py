"""Reads the feature rows of a topic as they arrive."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.errors import ServiceError
from contracts.feature_row import HEARTBEAT_VIEW

TIMEOUT_S = 10.0
BATCH, POLL_S = 2_000, 0.2
Row = dict[str, Any]


class FeatureRows:
    """The rows of one topic; `reached_us` is the event time of the newest heartbeat row, µs UTC."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer, self._topic, self.reached_us = consumer, topic, 0

    def poll(self) -> list[Row]:
        """The rows that have arrived since the last call, without heartbeats.

        Waits a moment for the first one. Raises ServiceError.
        """
        rows = []
        try:
            messages = self._consumer.consume(BATCH, POLL_S)
        except KafkaException as error:
            raise _unreadable(self._topic, error) from error
        for message in messages:
            if message.error():
                raise _unreadable(self._topic, message.error())
            row = orjson.loads(message.value())
            if row["view"] == HEARTBEAT_VIEW:
                self.reached_us = max(self.reached_us, row["event_time_ms"] * 1000)
            else:
                rows.append(row)
        return rows


def _unreadable(topic: str, error: object) -> ServiceError:
    return ServiceError(
        f"topic {topic} cannot be read: {error}", "see `tick status`, `tick logs kafka`"
    )


@contextmanager
def opened(
    settings: KafkaSettings, topic: str, since_ms: int | None = None
) -> Iterator[FeatureRows]:
    """A reader of all partitions, from the first message that arrived at `since_ms` (ms since 1970)
    or later; by default from the oldest one. Raises ServiceError.
    """
    options = {"group.id": "tick-upgrade", "enable.auto.commit": False, "log_level": 0}
    with closing(Consumer({**connections.kafka(settings), **options})) as consumer:
        try:
            numbers = sorted(
                consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
            )
            at = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
            if since_ms is not None:
                times = [TopicPartition(topic, number, since_ms) for number in numbers]
                at = consumer.offsets_for_times(times, timeout=TIMEOUT_S)
            consumer.assign(at)
        except KafkaException as error:
            raise _unreadable(topic, error) from error
        yield FeatureRows(consumer, topic)
