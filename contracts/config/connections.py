"""Client options for Kafka and Redis, derived from the settings alone.

The local services need no secrets; remote ones get SASL, TLS and passwords.
"""

from typing import Any

from contracts.config.groups.kafka import KafkaSettings
from contracts.config.groups.redis import RedisSettings
from contracts.errors import SettingError

# Flink's SQL connector bundles a relocated Kafka client under this package prefix.
SHADED = "org.apache.flink.kafka.shaded."
BOUNDED_VALUE = "lakehouse.tick.BoundedValue"  # our deserializer: stack/BoundedValue.java
LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def kafka(settings: KafkaSettings) -> dict[str, Any]:
    """Options of every librdkafka client: bootstrap servers, and login and TLS where configured."""
    options: dict[str, Any] = {
        "bootstrap.servers": settings.kafka,
        "security.protocol": settings.kafka_protocol,
    }
    if _needs_login(settings):
        user, password = login(settings)
        options |= {
            "sasl.mechanism": settings.kafka_mechanism,
            "sasl.username": user,
            "sasl.password": password,
        }
    if authority := _kafka_ca(settings):
        options["ssl.ca.location"] = authority
    return options


def kafka_flink(settings: KafkaSettings) -> dict[str, str]:
    """The same options for Flink's Kafka connector, as table properties.

    They may contain a password: never log them.
    """
    options = {"bootstrap.servers": settings.kafka}
    if settings.kafka_protocol != "PLAINTEXT":
        options["security.protocol"] = settings.kafka_protocol
    if _needs_login(settings):
        options |= {
            "sasl.mechanism": settings.kafka_mechanism,
            "sasl.jaas.config": SHADED + jaas(settings.kafka_mechanism, *login(settings)),
        }
    if authority := _kafka_ca(settings):
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
    return {f"properties.{name}": value for name, value in options.items()}


def _needs_login(settings: KafkaSettings) -> bool:
    return settings.kafka_protocol.startswith("SASL")


def _kafka_ca(settings: KafkaSettings) -> str | None:
    """The CA file, where the protocol uses TLS and one is configured."""
    uses_tls = settings.kafka_protocol.endswith("SSL")
    return str(settings.kafka_ca) if uses_tls and settings.kafka_ca else None


def redis(settings: RedisSettings) -> dict[str, Any]:
    """Address, login and CA file of every redis-py connection. `settings.redis_tls` enables TLS."""
    options: dict[str, Any] = {"host": settings.redis, "port": settings.redis_port}
    if settings.redis_password is not None:
        options["password"] = settings.redis_password.get_secret_value()
    if settings.redis_user is not None:
        options["username"] = settings.redis_user
    if settings.redis_tls and settings.redis_ca:
        options["ssl_ca_certs"] = str(settings.redis_ca)
    return options


def login(settings: KafkaSettings) -> tuple[str, str]:
    """User and password for Kafka. Raises SettingError when one is missing."""
    if settings.kafka_user is None or settings.kafka_password is None:
        raise SettingError(
            f"{settings.kafka_protocol} needs a login",
            "set TICK_KAFKA_USER and TICK_KAFKA_PASSWORD",
        )
    return settings.kafka_user, settings.kafka_password.get_secret_value()


def jaas(mechanism: str, user: str, password: str, *more: str) -> str:
    """A JAAS configuration line; `more` names further options that carry the password.

    A broker declares its users that way, as `user_NAME`.
    """
    secret = escape_jaas(password)
    options = " ".join(f'{name}="{secret}"' for name in ("password", *more))
    return f'{LOGIN_MODULES[mechanism]} required username="{escape_jaas(user)}" {options};'


def escape_jaas(text: str) -> str:
    """Escape text for a quoted JAAS value."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
