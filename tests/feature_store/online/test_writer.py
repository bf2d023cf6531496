"""The writer between a real Kafka and a Redis that is killed, stalled and emptied.

Nothing is lost, and older never replaces newer.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import orjson
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts import redis_keys
from contracts.clock import now_us
from contracts.config import connections
from contracts.feature_row import HEARTBEAT_SYMBOL
from contracts.features import OVERFLOWS
from contracts.topics import TICK_FEATURES
from contracts.windows import LEVELS
from feature_store.online import redis_layout, writer_stats
from feature_store.online.store import MalformedRowError, connect
from feature_store.online.writer import GROUP, Batch, OnlineWriter, consumer_config
from stack.services.project_services import settings_env
from tests.feature_store.online.test_store import stored
from tests.support.feature_rows import NOW_MS, feast_double, plain_row

HEARTBEAT = {"view": "heartbeat", "symbol": HEARTBEAT_SYMBOL, "event_time_ms": NOW_MS}
PATIENCE_S = 60


def test_a_batch_keeps_the_newest_row_of_each_view():
    batch = Batch()
    for view, offset, value in [
        ("tick_1s", 0, 1.0),
        ("tick_1s", -5, 2.0),
        ("tick_10s", -9, 3.0),
        ("tick_1s", 0, 4.0),
    ]:
        batch.add(orjson.dumps(plain_row(view, time_ms=NOW_MS + offset, value=value)))
    ages_ms = {view: row.event_time_ms - NOW_MS for (_, view), row in batch.rows.items()}
    assert ages_ms == {"tick_1s": 0, "tick_10s": -9}
    assert feast_double(4.0) in batch.rows["BINANCE:BTCUSDT", "tick_1s"].values
    assert (batch.counters.messages, batch.counters.superseded) == (4, 2)


def test_rows_with_an_overflow_are_counted():
    batch = Batch()
    for view, column in OVERFLOWS.items():
        for count in (None, 0.0, 2.0):
            batch.add(orjson.dumps(plain_row(view) | {column: count}))
    assert (batch.counters.messages, batch.counters.overflowed) == (3 * len(LEVELS), len(LEVELS))


def test_a_malformed_newer_row_does_not_hide_an_older_good_one():
    batch = Batch()
    batch.add(orjson.dumps(plain_row()))
    with pytest.raises(MalformedRowError):
        batch.add(orjson.dumps(plain_row(time_ms=NOW_MS + 1) | {"warm_s": None}))
    assert [row.event_time_ms for row in batch.rows.values()] == [NOW_MS]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"\xff",
        b'"tick_1s"',
        b'{"view":"heartbeat"}',
        b'{"view":"heartbeat","event_time_ms":1.5}',
    ],
)
def test_what_is_not_a_row_is_malformed(raw):
    with pytest.raises(MalformedRowError):
        Batch().add(raw)


@pytest.fixture
def group(request):
    """An unused consumer group."""
    return f"{request.node.name}-{now_us()}"


@pytest.fixture(scope="module")
def settings(platform, redis_server):
    """The platform's Kafka with a private Redis, which these tests may kill."""
    yield platform.model_copy(
        update={
            "redis_port": redis_server.port,
            "redis_password": None,
            "writer_retry_s_max": 0.3,
            "writer_timeout_ms": 500,
        }
    )
    while PROBES:
        PROBES.popitem()[1].close()


def send(settings, rows):
    producer = Producer({**connections.kafka(settings), "linger.ms": 5})
    for row in rows:
        value = row if isinstance(row, bytes) else orjson.dumps(row)
        key = row["symbol"].encode() if isinstance(row, dict) else b"x"
        producer.produce(TICK_FEATURES.name, value, key)
    assert producer.flush(PATIENCE_S) == 0


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


PROBES: dict[str, Consumer] = {}
PARTITIONS = [TopicPartition(TICK_FEATURES.name, at) for at in range(TICK_FEATURES.partitions)]


def probe(settings, group):
    """A consumer that never joins: it only reads the group's commits and the topic's ends."""
    if group not in PROBES:
        PROBES[group] = Consumer({**connections.kafka(settings), "group.id": group})
    return PROBES[group]


def committed(settings, group):
    try:
        return sum(
            max(0, part.offset) for part in probe(settings, group).committed(PARTITIONS, PATIENCE_S)
        )
    except (
        KafkaException
    ):  # a broker that has just started is still electing the group's coordinator
        return -1


def ends(settings):
    return sum(
        probe(settings, "probe").get_watermark_offsets(at, PATIENCE_S)[1] for at in PARTITIONS
    )


@contextmanager
def writing(settings, group):
    """An OnlineWriter on a thread, in a new group that starts at the beginning of the topic."""
    consumer, client, stop = (
        Consumer(consumer_config(settings) | {"group.id": group}),
        connect(settings),
        threading.Event(),
    )
    consumer.subscribe([TICK_FEATURES.name])
    writer = OnlineWriter(settings, consumer, client)
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    try:
        yield writer
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        consumer.close()
        client.close()


def shuffled_rows(symbols, times, seed):
    now_ms = now_us() // 1000
    rows = [
        plain_row(level.view, symbol, now_ms - at * 100, float(at))
        for symbol in symbols
        for at in range(times)
        for level in LEVELS
    ]
    random.Random(seed).shuffle(rows)
    return now_ms, rows


def assert_newest(client, symbols, now_ms):
    for symbol in symbols:
        assert [stored(client, level.view, symbol) for level in LEVELS] == [(now_ms, 0.0)] * len(
            LEVELS
        )


@pytest.mark.integration
def test_disordered_rows_end_as_the_newest_and_every_message_is_accounted_for(
    settings, client, group
):
    symbols = [f"ORDER:S{i}" for i in range(20)]
    now_ms, rows = shuffled_rows(symbols, 30, seed=1)
    year_ms = now_ms + 31_536_000_000
    bad = [
        b"not json",
        plain_row(symbol="BAD:X") | {"warm_s": None},
        plain_row(symbol="FUTURE:X", time_ms=year_ms),
    ]
    beats = [HEARTBEAT | {"event_time_ms": now_ms - at} for at in (5, 2, 9)]
    send(settings, [*rows, *bad, *beats])
    with writing(settings, group) as writer:
        until(lambda: committed(settings, group) == ends(settings))
        assert_newest(client, symbols, now_ms)
        assert (
            client.exists(redis_layout.entity_key("FUTURE:X"), redis_layout.entity_key("BAD:X"))
            == 0
        )
        assert int(client.get(redis_keys.HEARTBEAT_KEY)) == now_ms - 2
        c = writer.counters
    assert c.messages == ends(settings)
    assert c.messages == c.written + c.older + c.superseded + c.future + c.malformed + c.heartbeats
    assert c.malformed >= 2 and c.future >= 1
    report = writer_stats.read(client)
    assert report.counters.written == c.written and report.counters.lag == 0
    assert (
        report.samples == min(c.written, settings.writer_freshness_samples)
        and report.p99_ms >= report.p50_ms
    )


@pytest.mark.integration
@pytest.mark.parametrize("outage", ["killed", "stalled"])
def test_redis_away_loses_nothing_and_commits_nothing(
    settings, client, redis_server, outage, group
):
    symbols = [f"{outage.upper()}:S{i}" for i in range(10)]
    with writing(settings, group) as writer:
        until(lambda: committed(settings, group) == ends(settings))
        before = committed(settings, group)
        redis_server.kill() if outage == "killed" else redis_server.stall()
        try:
            now_ms, rows = shuffled_rows(symbols, 20, seed=2)
            send(settings, rows)
            until(lambda: writer.counters.retries >= 3)
            assert committed(settings, group) == before
        finally:
            redis_server.start() if outage == "killed" else redis_server.resume()
        until(lambda: committed(settings, group) == ends(settings))
        assert_newest(client, symbols, now_ms)


@pytest.mark.integration
def test_an_emptied_redis_fills_again_with_the_next_rows(settings, client, group):
    with writing(settings, group):
        until(lambda: committed(settings, group) == ends(settings))
        client.flushall()
        now_ms, rows = shuffled_rows(["EMPTIED:S"], 5, seed=3)
        send(settings, rows)
        until(lambda: committed(settings, group) == ends(settings))
        assert_newest(client, ["EMPTIED:S"], now_ms)


@contextmanager
def process(settings):
    env = os.environ | settings_env(settings)
    running = subprocess.Popen(
        [sys.executable, "-m", "feature_store.online.writer"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=PATIENCE_S)


@pytest.mark.integration
def test_a_killed_writer_is_replaced_without_loss_and_a_stopped_one_has_committed(settings, client):
    symbols = [f"PROCESS:S{i}" for i in range(50)]
    now_ms, rows = shuffled_rows(symbols, 60, seed=4)
    send(settings, rows[: len(rows) // 2])
    with process(settings) as first:
        until(lambda: client.hget(redis_keys.STATS_KEY, "written"))
        send(settings, rows[len(rows) // 2 :])
        first.kill()
    with process(settings) as second:
        until(lambda: all(stored(client, "tick_1m", symbol) == (now_ms, 0.0) for symbol in symbols))
        until(lambda: writer_stats.read(client).counters.lag == 0)
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == 0
    assert_newest(client, symbols, now_ms)
    assert committed(settings, GROUP) == ends(settings)
