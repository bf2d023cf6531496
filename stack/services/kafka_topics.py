"""The topics of contracts.topics in Kafka: create them, and wait until producers can use them."""

import time
from typing import Any

import structlog
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)

from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.errors import ServiceError
from contracts.topics import TOPICS, Topic

# Kafka limits the size of compressed batches, not of messages. This accepts the largest batch of a
# librdkafka producer (batch.size 1,000,000); with a smaller limit all ticks of a larger batch would
# be lost. The live job itself limits the length of a message (contracts.tick.MESSAGE_BYTES_MAX).
BATCH_BYTES_MAX = 2**20
ADMIN_TIMEOUT_S = 15
PROBE_TIMEOUT_S = 2
POLL_S = 0.1
PROBE_TRANSACTION = "lakehouse-tick-up"
HINT = "see `tick logs kafka`"

log = structlog.get_logger("stack")


def admin_client(settings: KafkaSettings) -> AdminClient:
    """An admin client that logs nothing."""
    return AdminClient(_silent_config(settings))


def _silent_config(settings: KafkaSettings) -> dict[str, Any]:
    """Client configuration that keeps librdkafka's own messages off the screen."""
    return {**connections.kafka(settings), "log_level": 0, "error_cb": lambda _error: None}


def set_up_topics(settings: KafkaSettings) -> None:
    """1. Create the topics.  2. Wait for a leader of every partition.  3. Wait until producer ids
    and transactions are available. Raises ServiceError.

    A broker responds seconds before 2 and 3 hold; a producer that starts earlier logs `Coordinator
    load in progress`.
    """
    create_topics(settings)
    await_leaders(settings)
    try:
        Producer(
            _silent_config(settings) | {"transactional.id": PROBE_TRANSACTION}
        ).init_transactions(settings.start_timeout_s)
    except KafkaException as error:
        raise ServiceError(f"Kafka cannot start a transaction: {error}", HINT) from error


def await_leaders(settings: KafkaSettings) -> None:
    """Wait until every partition of our topics has a leader. Raises ServiceError after
    start_timeout_s.
    """
    client = admin_client(settings)
    deadline = time.monotonic() + settings.start_timeout_s
    while names := _topics_without_leader(client):
        if time.monotonic() > deadline:
            raise ServiceError(f"Kafka has no leader for {', '.join(names)}", HINT)
        time.sleep(POLL_S)


def _topics_without_leader(client: AdminClient) -> list[str]:
    """Our topics that are missing or lack a leader; all of them if the broker does not respond."""
    try:
        metadata = client.list_topics(timeout=PROBE_TIMEOUT_S).topics
    except KafkaException:
        metadata = {}
    return [
        topic.name
        for topic in TOPICS
        if topic.name not in metadata or not _has_leaders(metadata[topic.name])
    ]


def _has_leaders(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(
        partition.leader >= 0 for partition in topic.partitions.values()
    )


def create_topics(settings: KafkaSettings, topics: tuple[Topic, ...] = TOPICS) -> list[str]:
    """Create the topics that do not exist yet; returns their names. The others get the current
    limit of their size. Raises ServiceError.
    """
    client = admin_client(settings)
    try:
        existing = client.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        new_topics = [_new_topic(topic, settings) for topic in topics if topic.name not in existing]
        if new_topics:
            futures = client.create_topics(new_topics, operation_timeout=ADMIN_TIMEOUT_S)
            for future in futures.values():
                future.result()
    except KafkaException as error:
        raise ServiceError(f"Kafka did not create the topics: {error}", HINT) from error
    _limit_sizes(client, [topic for topic in topics if topic.name in existing], settings)
    return [topic.topic for topic in new_topics]


def _limit_sizes(client: AdminClient, topics: list[Topic], settings: KafkaSettings) -> None:
    """Set the size limit of existing topics. An external Kafka may forbid it: a warning."""
    resources = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            topic.name,
            incremental_configs=[
                ConfigEntry(
                    "retention.bytes",
                    retention_bytes(topic, settings),
                    incremental_operation=AlterConfigOpType.SET,
                )
            ],
        )
        for topic in topics
    ]
    if not resources:
        return
    try:
        for future in client.incremental_alter_configs(resources).values():
            future.result(ADMIN_TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        log.warning("the size of topics is not limited", error=str(error)[:200])


def retention_bytes(topic: Topic, settings: KafkaSettings) -> str:
    """Bytes that Kafka keeps of each partition: `topic_mb_max`, divided by their number."""
    return str(settings.topic_mb_max * 2**20 // topic.partitions)


def _new_topic(topic: Topic, settings: KafkaSettings) -> NewTopic:
    config = {
        "retention.ms": str(topic.retention_ms),
        "retention.bytes": retention_bytes(topic, settings),
        "max.message.bytes": str(BATCH_BYTES_MAX),
        "message.timestamp.type": "LogAppendTime" if topic.log_append_time else "CreateTime",
    }
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=settings.kafka_replicas,
        config=config,
    )
