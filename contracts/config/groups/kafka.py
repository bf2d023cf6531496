"""Kafka: address, login, producers, consumer lag."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from contracts.config.home import HomeSettings


class KafkaSettings(HomeSettings):
    """Kafka: address, login, producers, consumer lag."""

    kafka_port: int = Field(
        7200, ge=1, le=65_534, description="Kafka listener; the controller takes the next port"
    )
    kafka_servers: str | None = Field(
        None,
        pattern=r"^[^,\s]+:\d+(,[^,\s]+:\d+)*$",
        description="bootstrap servers of an external Kafka cluster; default: the local one",
    )
    kafka_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="security protocol of Kafka clients"
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism of Kafka clients"
    )
    kafka_user: str | None = Field(None, min_length=1, description="SASL user")
    kafka_password: SecretStr | None = Field(None, description="password of kafka_user")
    kafka_ca: Path | None = Field(
        None,
        description=(
            "PEM file of the CA that signed the brokers' certificates; default: the system's CAs"
        ),
    )
    kafka_replicas: int = Field(
        1, ge=1, le=16, description="replication factor of the topics that `stack` creates"
    )
    topic_mb_max: int = Field(
        16_384,
        ge=16,
        le=1 << 30,
        description=(
            "MiB that Kafka keeps of each topic, in all partitions together; older messages are"
            " deleted even if they are younger than the topic's retention. The segment being"
            " written, of at most 1 GiB a partition, comes on top"
        ),
    )
    kafka_heap_mb: int = Field(512, ge=256, le=65_536, description="Kafka heap")
    consumer_lag_max: int = Field(
        500_000,
        ge=1,
        le=1 << 40,
        description=(
            "consumer lag, in messages, above which the job is unhealthy; its groups commit once"
            " per checkpoint"
        ),
    )
    producer_linger_ms: int = Field(5, ge=0, le=1000, description="producer batching delay")
    producer_queue_max: int = Field(
        100_000, ge=1, le=10_000_000, description="most messages buffered in the producer"
    )
    delivery_timeout_ms: int = Field(
        120_000, ge=1000, le=3_600_000, description="longest time the producer retries one message"
    )

    cluster_check_s: float = Field(
        5.0,
        gt=0,
        le=600,
        description="how often a sender checks that Kafka is still the cluster it started with",
    )

    @property
    def kafka(self) -> str:
        """Kafka bootstrap servers."""
        return self.kafka_servers or f"{self.host}:{self.kafka_port}"
