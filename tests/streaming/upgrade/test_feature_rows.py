"""Feature rows as they arrive in a topic, with the event time that heartbeats reach."""

import time

import orjson
import pytest
from confluent_kafka import Producer

from contracts.config import connections
from contracts.errors import ServiceError
from contracts.feature_row import HEARTBEAT_VIEW
from streaming.upgrade import feature_rows
from tests.streaming.broker import running_broker, settings_of

TOPIC = "tick_features"


@pytest.fixture
def kafka(tmp_path):
    with running_broker((TOPIC,)) as address:
        yield settings_of(address, tmp_path / "home")


def send(settings, *rows):
    producer = Producer(connections.kafka(settings))
    for number, row in enumerate(rows):
        producer.produce(TOPIC, orjson.dumps(row), partition=number % 4)
    assert producer.flush(10) == 0


def row(number):
    return {"view": "tick_1s", "symbol": "V:A", "event_time_ms": number, "warm_s": 1}


def read(reader, count):
    rows, deadline = [], time.monotonic() + 20
    while len(rows) < count and time.monotonic() < deadline:
        rows += reader.poll()
    return sorted(found["event_time_ms"] for found in rows)


def test_all_partitions_are_read_from_the_beginning_and_on(kafka):
    send(kafka, *map(row, range(6)))
    with feature_rows.opened(kafka, TOPIC) as reader:
        assert read(reader, 6) == list(range(6))
        send(kafka, row(7))
        assert read(reader, 1) == [7]
        assert reader.reached_us == 0


def test_heartbeats_tell_how_far_event_time_is_and_not_rows(kafka):
    beats = [row(at) | {"view": HEARTBEAT_VIEW} for at in (5_000, 9_000, 8_000)]
    send(kafka, *beats, row(1))
    with feature_rows.opened(kafka, TOPIC) as reader:
        assert read(reader, 1) == [1]
        while reader.reached_us < 9_000_000:
            reader.poll()


def test_without_kafka_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_rows, "TIMEOUT_S", 0.3)
    with (
        pytest.raises(ServiceError, match="tick_features cannot be read"),
        feature_rows.opened(settings_of("127.0.0.1:1", tmp_path), TOPIC),
    ):
        pass
