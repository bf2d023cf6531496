"""The live job on the shared platform, and small helpers to send ticks and to wait for what must come of them.

All files share one job, whose event time never goes back: they run in the order of FILES, each later in event time.
"""

import time
from collections.abc import Callable, Iterable

import polars as pl
import pytest
from confluent_kafka import Producer

from contracts.settings import Settings
from contracts.topics import TICKS
from contracts.wire import heartbeat
from streaming import job
from streaming.synthetic import Market

WAIT_S = 300.0
FILES = (
    *("test_backfill", "test_parity", "test_conservation", "test_parse_equals_sql", "test_recovery", "test_training"),
    *("test_warmup", "test_end_to_end"),  # the job starts afresh; a model is there
)
MINUTE_US = 60_000_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of this folder in the order of FILES, everything else where it is."""
    places = [i for i, item in enumerate(items) if item.path.stem in FILES]
    ordered = sorted((items[i] for i in places), key=lambda item: FILES.index(item.path.stem))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def live(platform: Settings) -> Settings:
    """The platform with the live job running."""
    job.start(platform)
    return platform


@pytest.fixture(scope="session")
def warmed(platform: Settings) -> tuple[Settings, pl.DataFrame, Market]:
    """The platform with a live job that started afresh on an hour of history up to nine minutes ago, that history, its market."""
    from tests.integration.warmed import restart

    return platform, *restart(platform, minutes_ago(9) // MINUTE_US * MINUTE_US)


def minutes_ago(minutes: int) -> int:
    """A full second, µs UTC."""
    return (time.time_ns() // 1_000_000_000 - 60 * minutes) * 1_000_000


def beat(producer: Producer, event_time_us: int) -> None:
    for partition in range(TICKS.partitions):
        producer.produce(TICKS.name, heartbeat(event_time_us), partition=partition)


def send(settings: Settings, messages: Iterable[tuple[str, bytes]], first_us: int, close_us: int) -> int:
    """Heartbeat at `first_us`, the keyed messages in order, then a heartbeat at `close_us` that closes what is open."""
    producer = Producer({"bootstrap.servers": settings.kafka, "enable.idempotence": True})
    beat(producer, first_us)
    producer.flush(30)
    count = 0
    for key, value in messages:
        producer.produce(TICKS.name, value, key=key)
        producer.poll(0)
        count += 1
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
