"""Messages of `ticks` that the live job steps over because it fails on them.

1. The message is copied to the dead letters, with reason `skipped`.  2. It is added to a file.
3. At its next start the job filters it in both readers, before it is parsed; its state and all
other messages stay. The file is stored with the savepoints, which containers share.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from contracts.config import connections, paths
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.home import HomeSettings
from contracts.errors import JobError, ServiceError
from contracts.files import replace_atomically
from contracts.messages import encoding
from contracts.topics import DEAD_LETTER, TICKS

REASON = "skipped"
# Each is a condition that the job evaluates for every message.
SKIPPED_MAX = 100
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class SkippedMessage:
    """A message of `ticks`. Its time of arrival (ms) tells it from one with the same offset in a
    topic that was deleted and created again.
    """

    partition: int
    offset: int
    arrived_ms: int


Skipped = Sequence[SkippedMessage]


def _file(settings: HomeSettings) -> Path:
    return paths.savepoints(settings) / "skipped-messages.json"


def read(settings: HomeSettings) -> tuple[SkippedMessage, ...]:
    """The messages that the job steps over. Raises JobError when the file is damaged."""
    try:
        text = _file(settings).read_text()
    except FileNotFoundError:
        return ()
    try:
        return tuple(SkippedMessage(**entry) for entry in json.loads(text))
    except (ValueError, TypeError) as error:
        raise JobError(
            f"{_file(settings)} cannot be read: {error}",
            "delete it and repeat `tick job skip` for each dead letter with reason `skipped`",
        ) from error


def skip(settings: KafkaSettings, partition: int, offset: int) -> bool:
    """Keep one message as a dead letter and step over it from the next start of the job on.

    False if it was skipped before. Raises JobError if Kafka has no such message or too many were
    skipped, ServiceError if Kafka does not answer.
    """
    earlier = read(settings)
    message = _fetch(settings, partition, offset)
    skipped = SkippedMessage(partition, offset, message.timestamp()[1])
    if skipped in earlier:
        return False
    if len(earlier) >= SKIPPED_MAX:
        raise JobError(
            f"{SKIPPED_MAX} messages are skipped already",
            f"find their sender; then delete {_file(settings)}",
        )
    _keep(settings, message, skipped)
    with replace_atomically(_file(settings)) as partial:
        partial.write_text(json.dumps([asdict(one) for one in (*earlier, skipped)]))
    return True


def is_read(skipped: Skipped) -> str:
    """SQL condition of a reader of `ticks`: the message is not one of `skipped`, which is not
    empty. Its columns are `partition`, `offset` and `arrived`.
    """
    places = " OR ".join(
        f"(`partition` = {one.partition} AND `offset` = {one.offset}"
        f" AND arrived = TO_TIMESTAMP_LTZ({one.arrived_ms}, 3))"
        for one in skipped
    )
    return f"({places}) IS NOT TRUE"


def _fetch(settings: KafkaSettings, partition: int, offset: int) -> Message:
    options = {"group.id": REASON, "enable.auto.commit": False, "log_level": 0}
    at = TopicPartition(TICKS.name, partition, offset)
    try:
        with closing(Consumer({**connections.kafka(settings), **options})) as consumer:
            oldest, end = _bounds(consumer, at)
            if not oldest <= offset < end:
                raise JobError(
                    f"{TICKS.name}/{partition} has no message at offset {offset}",
                    f"it has offsets {oldest} to {end - 1}",
                )
            consumer.assign([at])
            message = consumer.poll(TIMEOUT_S)
    except KafkaException as error:
        raise _no_answer(settings, error) from error
    if message is None or message.error() or message.offset() != offset:
        raise _no_answer(settings, f"{TICKS.name}/{partition}/{offset} was not returned")
    return message


def _bounds(consumer: Consumer, at: TopicPartition) -> tuple[int, int]:
    partitions = consumer.list_topics(TICKS.name, timeout=TIMEOUT_S).topics[TICKS.name].partitions
    if at.partition not in partitions:
        raise JobError(
            f"{TICKS.name} has no partition {at.partition}",
            f"it has {len(partitions)}: 0 to {len(partitions) - 1}",
        )
    return cast(tuple[int, int], consumer.get_watermark_offsets(at, timeout=TIMEOUT_S))


def _keep(settings: KafkaSettings, message: Message, skipped: SkippedMessage) -> None:
    """Write the dead letter; returns after Kafka has acknowledged it."""
    letter, headers = encoding.dead_letter(
        message.value() or b"", REASON, TICKS.name, skipped.partition, skipped.offset
    )
    errors: list[object] = []
    producer = Producer({**connections.kafka(settings), "acks": "all", "log_level": 0})
    producer.produce(
        DEAD_LETTER.name,
        letter,
        headers=headers,
        on_delivery=lambda error, _: errors.append(error) if error else None,
    )
    if producer.flush(TIMEOUT_S) or errors:
        raise _no_answer(settings, f"the dead letter was not written {errors or ''}")


def _no_answer(settings: KafkaSettings, cause: object) -> ServiceError:
    return ServiceError(
        f"Kafka at {settings.kafka}: {cause}", "see `tick status` and `tick logs kafka`"
    )
