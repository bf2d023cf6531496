"""Client options: no secret where none is needed, logins and certificates where clients look."""

import pytest

from contracts.config import connections
from contracts.errors import SettingError

SASL = {
    "kafka_protocol": "SASL_SSL",
    "kafka_user": "quant",
    "kafka_password": 'p"w\\d',
    "kafka_ca": "/etc/ca.pem",
}


def test_the_local_platform_has_no_logins(make_settings):
    configured = make_settings()
    assert connections.kafka(configured) == {
        "bootstrap.servers": f"127.0.0.1:{configured.kafka_port}",
        "security.protocol": "PLAINTEXT",
    }
    assert connections.kafka_flink(configured) == {
        "properties.bootstrap.servers": f"127.0.0.1:{configured.kafka_port}"
    }
    assert connections.redis(configured) == {"host": "127.0.0.1", "port": configured.redis_port}


def test_a_cluster_of_ones_own_with_login_and_certificate(make_settings):
    configured = make_settings(kafka_servers="k1:9092,k2:9092", **SASL)
    client = connections.kafka(configured)
    assert client["bootstrap.servers"] == "k1:9092,k2:9092"
    assert (client["sasl.mechanism"], client["sasl.username"], client["sasl.password"]) == (
        "SCRAM-SHA-512",
        "quant",
        'p"w\\d',
    )
    assert client["ssl.ca.location"] == "/etc/ca.pem"


def test_flink_gets_the_same_by_the_names_of_its_shaded_client(make_settings):
    options = connections.kafka_flink(make_settings(**SASL))
    module = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule"
    assert (
        options["properties.sasl.jaas.config"]
        == f'{module} required username="quant" password="p\\"w\\\\d";'
    )
    assert options["properties.ssl.truststore.type"] == "PEM"
    assert options["properties.ssl.truststore.location"] == "/etc/ca.pem"


@pytest.mark.parametrize("missing", ["kafka_user", "kafka_password"])
def test_a_login_without_its_half_is_named(make_settings, missing):
    configured = make_settings(**(SASL | {missing: None}))
    with pytest.raises(SettingError, match="SASL_SSL needs a login"):
        connections.kafka(configured)


def test_redis_of_ones_own(make_settings):
    configured = make_settings(
        redis_host="cache",
        redis_port=6380,
        redis_user="tick",
        redis_password="pw",
        redis_tls=True,
        redis_ca="/ca.pem",
    )
    expected = {
        "host": "cache",
        "port": 6380,
        "username": "tick",
        "password": "pw",
        "ssl_ca_certs": "/ca.pem",
    }
    assert connections.redis(configured) == expected
