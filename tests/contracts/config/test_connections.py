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


@pytest.mark.parametrize(
    ("protocol", "has_login", "has_ca"),
    [
        ("PLAINTEXT", False, False),
        ("SSL", False, True),
        ("SASL_PLAINTEXT", True, False),
        ("SASL_SSL", True, True),
    ],
)
def test_each_protocol_has_what_it_needs_and_nothing_else(
    make_settings, protocol, has_login, has_ca
):
    configured = make_settings(**(SASL | {"kafka_protocol": protocol}))
    client, flink = connections.kafka(configured), connections.kafka_flink(configured)
    assert client["security.protocol"] == protocol
    assert flink.get("properties.security.protocol", "PLAINTEXT") == protocol
    assert ("sasl.password" in client, "ssl.ca.location" in client) == (has_login, has_ca)
    assert ("properties.sasl.jaas.config" in flink) is has_login
    assert ("properties.ssl.truststore.location" in flink) is has_ca


def test_tls_without_a_ca_file_trusts_the_systems_own(make_settings):
    configured = make_settings(**(SASL | {"kafka_ca": None}))
    assert "ssl.ca.location" not in connections.kafka(configured)
    assert "properties.ssl.truststore.type" not in connections.kafka_flink(configured)


@pytest.mark.parametrize(
    ("mechanism", "module"),
    [
        ("PLAIN", "plain.PlainLoginModule"),
        ("SCRAM-SHA-256", "scram.ScramLoginModule"),
        ("SCRAM-SHA-512", "scram.ScramLoginModule"),
    ],
)
def test_a_mechanism_has_its_login_module(make_settings, mechanism, module):
    configured = make_settings(**(SASL | {"kafka_mechanism": mechanism}))
    assert connections.kafka(configured)["sasl.mechanism"] == mechanism
    line = connections.kafka_flink(configured)["properties.sasl.jaas.config"]
    assert line.partition(" ")[0].endswith(f".{module}")


def test_a_broker_declares_its_users_with_the_same_password():
    line = connections.jaas("PLAIN", "tick", 'a"b', "user_tick")
    assert line.endswith('required username="tick" password="a\\"b" user_tick="a\\"b";')


def test_a_missing_login_says_which_variables_to_set(make_settings):
    with pytest.raises(SettingError) as caught:
        connections.login(make_settings(**(SASL | {"kafka_user": None})))
    assert caught.value.hint == "set TICK_KAFKA_USER and TICK_KAFKA_PASSWORD"
    assert SASL["kafka_password"] not in str(caught.value)


@pytest.mark.parametrize("tls", [True, False])
def test_the_ca_of_redis_is_used_with_tls_only(make_settings, tls):
    options = connections.redis(make_settings(redis_tls=tls, redis_ca="/ca.pem"))
    assert ("ssl_ca_certs" in options) is tls


def test_no_password_is_in_the_text_of_the_settings(make_settings):
    configured = make_settings(**SASL, redis_password="hush")
    text = f"{configured} {configured!r} {configured.model_dump()}"
    assert "hush" not in text
    assert SASL["kafka_password"] not in text
