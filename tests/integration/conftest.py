"""The live job on the shared platform, and small helpers to send ticks and to wait for what must come of them."""

import time
from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import Producer

from contracts.settings import Settings
from contracts.topics import TICKS
from contracts.wire import heartbeat
from streaming import job

WAIT_S = 180.0


@pytest.fixture(scope="session")
def live(platform: Settings) -> Settings:
    """The platform with the live job running."""
    job.start(platform)
    return platform


def beat(producer: Producer, event_time_us: int) -> None:
    for partition in range(TICKS.partitions):
        producer.produce(TICKS.name, heartbeat(event_time_us), partition=partition)


def send(settings: Settings, messages: Iterable[tuple[str, bytes]], first_us: int, close_us: int) -> int:
    """Heartbeat at `first_us`, the keyed messages in order, then a heartbeat at `close_us` that closes what is open."""
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True})
    beat(producer, first_us)
    producer.flush(30)
    count = 0
    for count, (key, value) in enumerate(messages, start=1):
        producer.produce(TICKS.name, value, key=key)
        producer.poll(0)
    producer.flush(30)
    beat(producer, close_us)
    assert producer.flush(30) == 0
    return count


def eventually(check: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll until `check` holds; fail with `what` after the time-out."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain: {what}"
        time.sleep(0.5)
