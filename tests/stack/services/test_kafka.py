"""Kafka alone: when it is called ready, a careful producer gets its id at once and says nothing."""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource

from contracts.config import connections
from contracts.errors import ServiceError
from contracts.topics import DEAD_LETTER, TOPICS
from stack import platform
from stack.services import kafka

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


def test_the_first_idempotent_message_is_sent_without_a_word(broker, capfd):
    said: list[object] = []
    producer = Producer(
        {**connections.kafka(broker), "enable.idempotence": True, "error_cb": said.append}
    )
    producer.produce(DEAD_LETTER.name, b"first")
    assert producer.flush(20) == 0
    assert said == []
    assert capfd.readouterr().err == ""


def test_every_partition_has_a_leader(broker):
    topics = kafka.admin(broker).list_topics(timeout=10).topics
    assert all(
        partition.leader == 1
        for topic in TOPICS
        for partition in topics[topic.name].partitions.values()
    )


def test_every_topic_takes_the_largest_batch_of_a_sender(broker):
    """librdkafka fills batches up to 1,000,000 bytes; a topic that refused one would lose all ticks
    in it.
    """
    client, names = kafka.admin(broker), [topic.name for topic in TOPICS]
    described = client.describe_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    )
    limits = {
        resource.name: described[resource].result()["max.message.bytes"] for resource in described
    }
    assert {
        name: (limit.value, limit.is_default) for name, limit in limits.items()
    } == dict.fromkeys(names, ("1048576", False))


def test_settling_again_changes_nothing(broker):
    before = set(kafka.admin(broker).list_topics(timeout=10).topics)
    kafka.settle(broker)
    assert set(kafka.admin(broker).list_topics(timeout=10).topics) == before


def test_a_broker_that_is_away_is_named(free_settings):
    with pytest.raises(ServiceError, match="no leader for"):
        kafka.await_leaders(free_settings.model_copy(update={"start_timeout_s": 0.0}))
