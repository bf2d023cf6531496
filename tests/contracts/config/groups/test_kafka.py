"""Kafka's settings: limits, the address of clients, and values that no broker understands."""

import pytest
from pydantic import ValidationError

from contracts.config.groups.kafka import KafkaSettings
from tests.contracts.config.groups import limits
from tests.contracts.config.groups.limits import Above

LIMITS = {
    "kafka_port": (1, 65_534),  # the controller takes the next one
    "kafka_replicas": (1, 16),
    "topic_mb_max": (16, 2**30),
    "kafka_heap_mb": (256, 65_536),
    "consumer_lag_max": (1, 2**40),
    "producer_linger_ms": (0, 1000),
    "producer_queue_max": (1, 10_000_000),
    "cluster_check_s": (Above(0), 600),
    "delivery_timeout_ms": (1000, 3_600_000),
}


def test_every_number_is_in_the_table():
    assert limits.numbers(KafkaSettings) == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_number_is_refused_beyond_its_limits(name):
    limits.check(KafkaSettings, name, *LIMITS[name])


def test_clients_use_the_local_broker_unless_there_are_servers():
    assert KafkaSettings(host="10.0.0.5", kafka_port=9092).kafka == "10.0.0.5:9092"
    assert KafkaSettings(kafka_servers="k1:9092,k2:9093").kafka == "k1:9092,k2:9093"


@pytest.mark.parametrize("servers", ["k1", "k1:", "k1:a", "k1:9092,", "k1:9092, k2:9092", ""])
def test_servers_without_a_port_or_with_blanks_are_refused(servers):
    with pytest.raises(ValidationError, match="kafka_servers"):
        KafkaSettings(kafka_servers=servers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kafka_protocol", "TLS"),
        ("kafka_protocol", "sasl_ssl"),
        ("kafka_mechanism", "GSSAPI"),
        ("kafka_user", ""),
    ],
)
def test_a_login_that_clients_do_not_support_is_refused(name, value):
    assert not limits.accepts(KafkaSettings, name, value)


def test_the_password_is_not_in_the_text_of_the_settings():
    settings = KafkaSettings(kafka_user="quant", kafka_password="hush")
    assert "hush" not in f"{settings} {settings!r} {settings.model_dump()}"
    assert settings.kafka_password.get_secret_value() == "hush"
