"""Kafka alone: once it is ready, an idempotent producer gets its id at once and logs nothing."""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource

from contracts.config import connections
from contracts.errors import ServiceError
from contracts.topics import DEAD_LETTER, TOPICS
from stack import platform
from stack.services import kafka_topics

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from tests.conftest import settings_in

    settings = settings_in(tmp_path_factory.mktemp("kafka"))
    try:
        platform.up(settings, ("kafka",))
        yield settings
    finally:
        platform.down(settings)


def test_the_first_idempotent_message_is_sent_without_a_log_message(broker, capfd):
    errors: list[object] = []
    producer = Producer(
        {**connections.kafka(broker), "enable.idempotence": True, "error_cb": errors.append}
    )
    producer.produce(DEAD_LETTER.name, b"first")
    assert producer.flush(20) == 0
    assert errors == []
    assert capfd.readouterr().err == ""


def test_every_partition_has_a_leader(broker):
    topics = kafka_topics.admin_client(broker).list_topics(timeout=10).topics
    assert all(
        partition.leader == 1
        for topic in TOPICS
        for partition in topics[topic.name].partitions.values()
    )


def test_every_topic_accepts_the_largest_batch_of_a_producer(broker):
    """librdkafka fills batches up to 1,000,000 bytes; a topic that rejects one loses all its
    ticks.
    """
    client = kafka_topics.admin_client(broker)
    names = [topic.name for topic in TOPICS]
    described = client.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    )
    limits = {
        resource.name: described[resource].result()["max.message.bytes"] for resource in described
    }
    assert {
        name: (limit.value, limit.is_default) for name, limit in limits.items()
    } == dict.fromkeys(names, ("1048576", False))


def test_setting_up_the_topics_again_changes_nothing(broker):
    before = set(kafka_topics.admin_client(broker).list_topics(timeout=10).topics)
    kafka_topics.set_up_topics(broker)
    assert set(kafka_topics.admin_client(broker).list_topics(timeout=10).topics) == before


def test_topics_of_a_broker_that_does_not_respond_are_named(free_settings):
    with pytest.raises(ServiceError, match="no leader for"):
        kafka_topics.await_leaders(free_settings.model_copy(update={"start_timeout_s": 0.0}))
