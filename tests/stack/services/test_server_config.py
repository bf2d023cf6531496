"""The configuration files of Kafka and Redis: loopback, limits, logins, readable by their owner."""

import stat

import pytest

from contracts.config import paths
from contracts.errors import ServiceError
from contracts.topics import TOPICS
from stack.services import kafka, redis


@pytest.fixture
def kafka_properties(make_settings):
    """Writes server.properties of a broker whose data folder is formatted; returns its values."""

    def write(**overrides) -> dict[str, str]:
        settings = make_settings(**overrides)
        data = paths.kafka_home(settings) / "data"
        data.mkdir(parents=True)
        (data / "meta.properties").touch()
        kafka.prepare(settings)
        file = paths.kafka_home(settings) / "server.properties"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = file.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    return write


@pytest.fixture
def redis_lines(make_settings):
    """Writes redis.conf; returns its lines."""

    def write(**overrides) -> list[str]:
        settings = make_settings(**overrides)
        redis.prepare(settings)
        file = paths.redis_home(settings) / "redis.conf"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        return file.read_text().splitlines()

    return write


def test_the_broker_listens_on_loopback_only(kafka_properties):
    properties = kafka_properties(kafka_port=7201)
    assert properties["listeners"] == "CLIENT://127.0.0.1:7201,CONTROLLER://127.0.0.1:7202"
    assert properties["advertised.listeners"] == "CLIENT://127.0.0.1:7201"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:7202"


def test_in_a_container_only_the_clients_come_from_outside(kafka_properties):
    properties = kafka_properties(host="0.0.0.0", kafka_port=7201, kafka_servers="kafka:7201")
    assert properties["listeners"] == "CLIENT://0.0.0.0:7201,CONTROLLER://127.0.0.1:7202"
    assert properties["advertised.listeners"] == "CLIENT://kafka:7201"


def test_a_mistyped_topic_is_not_created_and_batches_are_limited(kafka_properties):
    properties = kafka_properties()
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["message.max.bytes"] == "1048576"
    assert properties["transaction.max.timeout.ms"] == "86400000"  # a job may be down for a day


def test_offsets_of_a_stopped_group_outlive_every_message(kafka_properties):
    offsets_ms = int(kafka_properties()["offsets.retention.minutes"]) * 60_000
    assert offsets_ms > max(topic.retention_ms for topic in TOPICS)


def test_without_a_login_the_broker_has_none(kafka_properties):
    properties = kafka_properties()
    assert properties["listener.security.protocol.map"] == "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert not [name for name in properties if "sasl" in name]


def test_a_login_is_required_of_clients_with_any_password(kafka_properties):
    properties = kafka_properties(
        kafka_protocol="SASL_PLAINTEXT",
        kafka_mechanism="PLAIN",
        kafka_user="tick",
        kafka_password='back\\slash "quoted"',
    )
    assert properties["listener.security.protocol.map"].startswith("CLIENT:SASL_PLAINTEXT")
    jaas = properties["listener.name.client.plain.sasl.jaas.config"]
    assert "PlainLoginModule" in jaas
    assert "user_tick=" in jaas
    # A properties file and the JAAS text in it each halve the backslashes.
    assert 'back\\\\\\\\slash \\\\"quoted\\\\"' in jaas


def test_what_the_local_broker_cannot_do_is_refused_with_the_alternative(kafka_properties):
    with pytest.raises(ServiceError, match="does not support SASL_SSL") as caught:
        kafka_properties(
            kafka_protocol="SASL_SSL",
            kafka_mechanism="SCRAM-SHA-512",
            kafka_user="tick",
            kafka_password="secret",
        )
    assert "TICK_KAFKA_SERVERS" in caught.value.hint


def test_the_heap_of_the_broker_is_limited_and_an_overflow_ends_it(make_settings):
    service = kafka.service(make_settings(kafka_heap_mb=300))
    assert "-Xmx300m" in service.command
    assert "-XX:+ExitOnOutOfMemoryError" in service.command
    assert service.memory_mb == 300


def test_the_broker_claims_both_of_its_ports(make_settings):
    assert dict(kafka.service(make_settings(kafka_port=7201)).ports) == {
        7201: "TICK_KAFKA_PORT",
        7202: "TICK_KAFKA_PORT",
    }


def test_a_broker_that_does_not_run_is_not_ready(free_settings):
    assert not kafka.service(free_settings).ready()
    assert not kafka.is_responding(free_settings.model_copy(update={"kafka_servers": "[::1]:9"}))


def test_redis_listens_on_loopback_only_and_keeps_what_it_acknowledged(redis_lines):
    lines = redis_lines(redis_port=7203, redis_memory_mb=64)
    for expected in (
        "bind 127.0.0.1",
        "port 7203",
        "protected-mode yes",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory 64mb",
        "maxmemory-policy noeviction",
    ):
        assert expected in lines


def test_redis_requires_the_password_of_the_settings(redis_lines):
    assert not [line for line in redis_lines() if line.startswith("requirepass")]
    lines = redis_lines(redis_password='quote " and \\')
    assert 'requirepass "quote \\" and \\\\"' in lines


def test_redis_finds_its_folder_also_with_a_space_in_the_path(redis_lines, tmp_path):
    lines = redis_lines(home=tmp_path / "my platform")
    assert f'dir "{tmp_path}/my platform/redis"' in lines


def test_redis_that_does_not_run_is_not_ready(free_settings):
    assert not redis.service(free_settings).ready()
    assert redis.version()[0].isdigit()
