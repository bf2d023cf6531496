"""Feature rows that Kafka deleted before the online writer read them.

`tick_features` has no transactions and is not compacted, so the offsets of a partition have no
holes: one that is missing between two messages has expired.
"""

from typing import Any

import structlog
from confluent_kafka import KafkaException, TopicPartition

COMMITTED_TIMEOUT_S = 10.0

log = structlog.get_logger()


class OffsetGaps:
    """Counts the messages between the next offset expected of a partition and the one received."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Expect the committed offsets; nothing is expected where none was committed."""
        try:
            committed = consumer.committed(partitions, timeout=COMMITTED_TIMEOUT_S)
        except KafkaException as error:
            log.warning("expired rows are not counted at this start", error=str(error)[:200])
            return
        self._next.update({at.partition: at.offset for at in committed if at.offset >= 0})

    def count_before(self, partition: int, offset: int) -> int:
        """Messages of the partition that expired before this one; logged if there are any."""
        expected = self._next.get(partition, offset)
        self._next[partition] = offset + 1
        if offset <= expected:
            return 0
        log.error(
            "feature rows were deleted by Kafka before they were read, continuing after them",
            rows=offset - expected,
            partition=partition,
            offsets=f"{expected} to {offset - 1}",
            hint="restore the rows from the lakehouse: `tick online rebuild`",
        )
        return offset - expected
