"""The latest price per symbol, from messages of a consumer that the test scripts."""

import threading
import time

import pytest
from confluent_kafka import KafkaException

from contracts.config.settings import Settings
from serving.state import prices
from serving.state.prices import Prices


class Message:
    def __init__(self, key, value, error=None):
        self._key = key
        self._value = value
        self._error = error

    def key(self):
        return self._key

    def value(self):
        return self._value

    def error(self):
        return self._error


class ScriptedConsumer:
    """Returns its batches one after the other, then none. An exception is raised instead."""

    def __init__(self, batches):
        self.batches = batches
        self.closed = threading.Event()

    def assign(self, partitions):
        pass

    def consume(self, _messages_max, _timeout_s):
        if not self.batches:
            time.sleep(0.01)
            return []
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self):
        self.closed.set()


@pytest.fixture
def read(monkeypatch):
    """Starts a reader of scripted batches; returns it with its consumer."""
    readers = []

    def start(*batches):
        consumer = ScriptedConsumer(list(batches))
        monkeypatch.setattr(prices, "Consumer", lambda _options: consumer)
        reader = Prices(Settings())
        readers.append(reader)
        reader.latest()
        return reader, consumer

    yield start
    for reader in readers:
        reader.close()


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_last_message_of_a_symbol_is_its_price(read):
    reader, _ = read(
        [Message(b"V:A", b'{"price": 1.5}'), Message(b"V:A", b'{"price": 2}')],
        [Message(b"V:B", b'{"price": 3.5}')],
    )
    wait_until(lambda: len(reader.latest()) == 2)
    assert reader.latest() == {"V:A": 2.0, "V:B": 3.5}


@pytest.mark.parametrize(
    "message",
    [
        Message(b"V:A", b"nonsense"),
        Message(b"V:A", None),
        Message(b"V:A", b"[]"),
        Message(b"V:A", b'{"size": 1}'),
        Message(b"V:A", b'{"price": "1"}'),
        Message(b"\xff", b'{"price": 1}'),
        Message(b"V:A", b'{"price": 1}', error="broken"),
    ],
)
def test_a_message_without_a_price_is_skipped(read, message):
    reader, _ = read([message], [Message(b"V:Z", b'{"price": 1}')])
    wait_until(reader.latest)
    assert reader.latest() == {"V:Z": 1.0}


def test_the_number_of_symbols_is_limited(read, monkeypatch):
    monkeypatch.setattr(prices, "SYMBOLS_MAX", 1)
    reader, consumer = read(
        [Message(b"V:A", b'{"price": 1}')],
        [Message(b"V:B", b'{"price": 1}'), Message(b"V:A", b'{"price": 2}')],
    )
    wait_until(lambda: reader.latest() == {"V:A": 2.0})
    assert consumer.batches == []


def test_the_thread_ends_when_the_page_is_closed_and_starts_again(read, monkeypatch):
    monkeypatch.setattr(prices, "IDLE_S_MAX", 0.2)
    reader, consumer = read()
    assert consumer.closed.wait(10)
    consumer.batches.append([Message(b"V:A", b'{"price": 1}')])
    wait_until(reader.latest)


def test_an_unavailable_kafka_ends_the_thread_only(read):
    reader, consumer = read(KafkaException("unavailable"))
    assert consumer.closed.wait(10)
    assert reader.latest() == {}
