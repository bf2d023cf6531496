"""Which topics are created and how, against an admin client that answers from memory."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from contracts.errors import ServiceError
from contracts.topics import TICKS, TOPICS
from stack.services import kafka_topics


class Admin:
    """A broker with topics by name, each with the leaders of its partitions."""

    def __init__(self) -> None:
        self.topics: dict[str, list[int]] = {}
        self.created = []
        self.altered = []
        self.error: KafkaError | None = None
        self.alter_error: KafkaError | None = None

    def list_topics(self, timeout: float) -> SimpleNamespace:
        topics = {
            name: SimpleNamespace(
                partitions={at: SimpleNamespace(leader=leader) for at, leader in enumerate(leaders)}
            )
            for name, leaders in self.topics.items()
        }
        if self.error is not None:
            raise KafkaException(self.error)
        return SimpleNamespace(topics=topics)

    def create_topics(self, new_topics, operation_timeout: float):
        self.created += new_topics
        return {topic.topic: SimpleNamespace(result=lambda: None) for topic in new_topics}

    def incremental_alter_configs(self, resources):
        def result(timeout_s: float) -> None:
            if self.alter_error is not None:
                raise KafkaException(self.alter_error)

        self.altered += resources
        return {resource.name: SimpleNamespace(result=result) for resource in resources}


@pytest.fixture
def admin(monkeypatch) -> Admin:
    admin = Admin()
    monkeypatch.setattr(kafka_topics, "admin_client", lambda _: admin)
    return admin


@pytest.fixture
def impatient(free_settings):
    return free_settings.model_copy(update={"start_timeout_s": 0.0})


def test_all_topics_are_created_on_an_empty_broker(admin, free_settings):
    assert kafka_topics.create_topics(free_settings) == [topic.name for topic in TOPICS]


def test_only_missing_topics_are_created(admin, free_settings):
    admin.topics = {topic.name: [1] for topic in TOPICS if topic is not TICKS}
    assert kafka_topics.create_topics(free_settings) == [TICKS.name]
    admin.topics[TICKS.name] = [1]
    assert kafka_topics.create_topics(free_settings) == []
    assert len(admin.created) == 1


def test_a_topic_gets_its_contract_and_the_replicas_of_the_settings(admin, make_settings):
    kafka_topics.create_topics(make_settings(kafka_replicas=3))
    (created,) = [topic for topic in admin.created if topic.topic == TICKS.name]
    assert created.num_partitions == TICKS.partitions
    assert created.replication_factor == 3
    assert created.config["retention.ms"] == str(TICKS.retention_ms)
    assert created.config["retention.bytes"] == str(16 * 2**30 // TICKS.partitions)
    assert created.config["max.message.bytes"] == str(kafka_topics.BATCH_BYTES_MAX)


def test_every_topic_is_limited_in_size(admin, make_settings):
    kafka_topics.create_topics(make_settings(topic_mb_max=100))
    sizes = {
        topic.topic: int(topic.config["retention.bytes"]) * topic.num_partitions
        for topic in admin.created
    }
    assert sizes == {topic.name: 100 * 2**20 for topic in TOPICS}


def test_a_topic_that_exists_gets_a_changed_limit(admin, make_settings):
    admin.topics = {TICKS.name: [1] * TICKS.partitions}
    kafka_topics.create_topics(make_settings(topic_mb_max=100))
    (resource,) = admin.altered
    (entry,) = resource.incremental_configs
    assert (resource.name, entry.name) == (TICKS.name, "retention.bytes")
    assert entry.value == str(25 * 2**20)
    assert TICKS.name not in {topic.topic for topic in admin.created}


def test_a_kafka_that_forbids_the_change_is_used_as_it_is(admin, free_settings):
    admin.topics = {topic.name: [1] for topic in TOPICS}
    admin.alter_error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with capture_logs() as logs:
        assert kafka_topics.create_topics(free_settings) == []
    assert [entry["event"] for entry in logs] == ["the size of topics is not limited"]


def test_a_broker_that_refuses_is_an_error_with_its_log(admin, free_settings):
    admin.error = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    with pytest.raises(ServiceError, match="Kafka did not create the topics") as caught:
        kafka_topics.create_topics(free_settings)
    assert caught.value.hint == "see `tick logs kafka`"


def test_waiting_ends_when_every_partition_has_a_leader(admin, impatient):
    admin.topics = {topic.name: [1, 1] for topic in TOPICS}
    kafka_topics.await_leaders(impatient)


@pytest.mark.parametrize("leaders", [[], [1, -1]])
def test_a_topic_without_a_leader_is_named(admin, impatient, leaders):
    admin.topics = {topic.name: [1] for topic in TOPICS} | {TICKS.name: leaders}
    with pytest.raises(ServiceError) as caught:
        kafka_topics.await_leaders(impatient)
    assert caught.value.message == f"Kafka has no leader for {TICKS.name}"


def test_a_broker_that_does_not_respond_has_no_leaders(admin, impatient):
    admin.error = KafkaError(KafkaError._TRANSPORT)
    with pytest.raises(ServiceError, match=TOPICS[-1].name):
        kafka_topics.await_leaders(impatient)
