"""The warm-up: the newest minutes of silver as messages on their own topic."""

import polars as pl
import pytest

from contracts.errors import ServiceError
from contracts.messages.parsing import parse
from contracts.tick import Rejected
from lakehouse.tables import Lakehouse
from streaming.job import warmup
from streaming.synthetic.market import FIXTURE, generate
from tests.support import topic_reader

START_US = 1_700_000_000_000_000
TICKS = pl.concat(generate(FIXTURE, START_US, 600))
END_US = START_US + 600_000_000
NOTHING = dict.fromkeys(range(4), 0)


@pytest.fixture
def lake(broker):
    lake = Lakehouse(broker)
    lake.create()
    lake.append_ticks(TICKS)
    return broker


def test_the_last_seconds_are_published_under_their_key(lake):
    settings = lake.model_copy(update={"warmup_s": 120})
    newest = TICKS.filter(pl.col("event_time_us") >= END_US - 120_000_000)
    assert warmup.publish(settings, END_US) == newest.height > 0
    messages = topic_reader.since(settings, "ticks.warmup", NOTHING)
    ticks = [parse(message.value, END_US) for message in messages]
    assert not any(isinstance(tick, Rejected) for tick in ticks)
    assert [message.key for message in messages] == [tick.key for tick in ticks]
    assert sorted(ticks) == sorted(newest.rows())
    assert topic_reader.ends(settings, "ticks") == NOTHING


def test_an_empty_lakehouse_publishes_nothing(broker):
    Lakehouse(broker).create()
    assert warmup.publish(broker, END_US) == 0
    assert topic_reader.ends(broker, "ticks.warmup") == NOTHING


def test_ticks_at_or_after_now_are_not_published(lake):
    assert warmup.publish(lake, START_US) == 0


def test_more_than_one_batch_is_published_whole(lake, monkeypatch):
    monkeypatch.setattr(warmup, "BATCH_ROWS", 50)
    assert warmup.publish(lake, END_US) == TICKS.height
    assert sum(topic_reader.ends(lake, "ticks.warmup").values()) == TICKS.height


def test_no_more_than_a_slice_of_silver_is_in_memory(lake, monkeypatch):
    monkeypatch.setattr(warmup, "SLICE_TICKS", 200)
    read, heights = Lakehouse.read_ticks, []

    def counted(*arguments):
        ticks = read(*arguments)
        heights.append(ticks.height)
        return ticks

    monkeypatch.setattr(Lakehouse, "read_ticks", counted)
    assert warmup.publish(lake, END_US) == TICKS.height == sum(heights)
    assert max(heights) < TICKS.height / 2


def test_a_full_producer_queue_is_waited_for(lake):
    settings = lake.model_copy(update={"producer_queue_max": 10})
    assert warmup.publish(settings, END_US) == TICKS.height
    assert sum(topic_reader.ends(settings, "ticks.warmup").values()) == TICKS.height


def test_messages_that_kafka_did_not_acknowledge_are_an_error(lake):
    gone = {"kafka_servers": "127.0.0.1:1", "delivery_timeout_ms": 1000}
    settings = lake.model_copy(update=gone)
    with pytest.raises(ServiceError, match=f"{TICKS.height:,} of .* not delivered") as raised:
        warmup.publish(settings, END_US)
    assert "tick job submit --fresh" in raised.value.hint
