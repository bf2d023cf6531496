"""Consumer lag: how many messages each consumer group is behind the end of its topic.

Computed from committed offsets; the groups of the live job commit only at checkpoints.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from itertools import chain
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from contracts import live_job
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.errors import ServiceError
from contracts.topics import TICK_FEATURES

MONITORED = (
    *((reader.group, reader.topic) for reader in live_job.READERS),
    (live_job.WRITER_GROUP, TICK_FEATURES.name),
)
MONITORED_TOPICS = frozenset(topic for _, topic in MONITORED)
# Errors are raised as exceptions; librdkafka's log would repeat them on stderr.
QUIET: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
Offsets = Mapping[tuple[str, int], int]  # (topic, partition) → offset


@dataclass(frozen=True, slots=True)
class GroupLag:
    """Messages, over all partitions of `topic`, after the newest committed offsets of `group`."""

    group: str
    topic: str
    messages: int


class ConsumerLags:
    """Reads the lags with one admin client, which joins no group and consumes no message.

    Each of its eight requests may take `timeout_s`. The client connects on first use.
    """

    def __init__(self, settings: KafkaSettings, timeout_s: float) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._client: AdminClient | None = None

    def read(self) -> tuple[GroupLag, ...]:
        """One lag per monitored group whose topic exists. Raises ServiceError."""
        if self._client is None:
            self._client = AdminClient({**connections.kafka(self._settings), **QUIET})
        try:
            return self._read(self._client)
        except (KafkaException, FutureTimeoutError) as error:
            problem = f"Kafka at {self._settings.kafka} returned no consumer offsets ({error})"
            raise ServiceError(problem, "see `tick status` and `tick logs kafka`") from error

    def _read(self, client: AdminClient) -> tuple[GroupLag, ...]:
        partitions = self._partitions(client)
        every = list(chain.from_iterable(partitions.values()))
        starts = self._offsets(client, every, OffsetSpec.earliest())
        ends = self._offsets(client, every, OffsetSpec.latest())
        lags = []
        for group, topic in [pair for pair in MONITORED if pair[1] in partitions]:
            committed = self._committed(client, group, partitions[topic])
            lags.append(GroupLag(group, topic, lag_of(committed, starts, ends)))
        return tuple(lags)

    def _partitions(self, client: AdminClient) -> dict[str, list[TopicPartition]]:
        """The partitions of each monitored topic that exists."""
        existing = client.list_topics(timeout=self._timeout_s).topics
        return {
            topic: [TopicPartition(topic, number) for number in existing[topic].partitions]
            for topic in MONITORED_TOPICS & existing.keys()
        }

    def _offsets(
        self,
        client: AdminClient,
        partitions: Iterable[TopicPartition],
        which: OffsetSpec,
    ) -> Offsets:
        requests = dict.fromkeys(partitions, which)
        answers = client.list_offsets(requests, request_timeout=self._timeout_s)
        return {
            (at.topic, at.partition): int(answer.result(self._timeout_s).offset)
            for at, answer in answers.items()
        }

    def _committed(
        self,
        client: AdminClient,
        group: str,
        partitions: list[TopicPartition],
    ) -> Offsets:
        request = ConsumerGroupTopicPartitions(group, partitions)
        answers = client.list_consumer_group_offsets([request], request_timeout=self._timeout_s)
        committed = answers[group].result(self._timeout_s).topic_partitions
        return {(at.topic, at.partition): int(at.offset) for at in committed}


def lag_of(committed: Offsets, starts: Offsets, ends: Offsets) -> int:
    """Messages behind. A partition without a commit (below 0) counts from its first message."""
    return sum(
        max(0, ends[at] - (offset if offset >= 0 else starts[at]))
        for at, offset in committed.items()
    )
