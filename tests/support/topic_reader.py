"""Reads a topic from a remembered position to its end, as any consumer would."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from contracts.config import connections


@dataclass(frozen=True)
class Message:
    """One message and its position; `fields` is its JSON."""

    partition: int
    offset: int
    key: str | None
    value: bytes
    headers: dict[str, str]
    appended_us: int

    @property
    def fields(self) -> dict[str, Any]:
        return orjson.loads(self.value)

    @property
    def is_beat(self) -> bool:
        return b'"heartbeat":true' in self.value


# A topic that was just created has no leader yet.
@retry(
    retry=retry_if_exception_type(KafkaException),
    stop=stop_after_attempt(40),
    wait=wait_fixed(0.25),
    reraise=True,
)
def ends(settings, topic):
    """Current end of every partition; pass it to `since` later."""
    consumer = Consumer({**connections.kafka(settings), "group.id": "ends"})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        return {
            p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1]
            for p in partitions
        }
    finally:
        consumer.close()


def stream(settings, topic, marks, to=None) -> Iterator[Message]:
    """Messages from `marks` up to `to` (default: the current end), as they come."""
    to = to or ends(settings, topic)
    left = {p: to[p] - marks.get(p, 0) for p in to if marks.get(p, 0) < to[p]}
    consumer = Consumer(
        {**connections.kafka(settings), "group.id": "since", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, p, marks.get(p, 0)) for p in left])
        while any(count > 0 for count in left.values()):
            for m in consumer.consume(1000, 0.2):
                assert not m.error(), m.error()
                left[m.partition()] -= 1
                if m.offset() < to[m.partition()]:
                    yield _message(m)
    finally:
        consumer.close()


def _message(m) -> Message:
    headers = {name: value.decode() for name, value in m.headers() or ()}
    key = m.key().decode() if m.key() else None
    return Message(
        m.partition(), m.offset(), key, m.value() or b"", headers, m.timestamp()[1] * 1000
    )


def since(settings, topic, marks):
    """Messages after `marks`, by partition in order of offset."""
    return sorted(stream(settings, topic, marks), key=lambda m: (m.partition, m.offset))
