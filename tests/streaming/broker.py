"""An in-process Kafka: librdkafka's own broker, reached over TCP like any other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

from contracts.config.settings import Settings

TOPICS = ("ticks", "ticks.dead_letter", "ticks.warmup")


@contextmanager
def running_broker(topics: tuple[str, ...] = TOPICS) -> Iterator[str]:
    """Its address. The broker ends with the block; every topic has four partitions."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=5).brokers.values()
    for topic in topics:
        owner.list_topics(topic, timeout=5)  # creates it
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


def settings_of(broker: str, home: Path, **fields: object) -> Settings:
    return Settings(home=home, kafka_servers=broker, final_heartbeat_s=0, **fields)
