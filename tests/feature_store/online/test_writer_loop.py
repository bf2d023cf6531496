"""The writer's loop over scripted Kafka messages and a real Redis: commits, counters, lag."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaException
from structlog.testing import capture_logs

from contracts.errors import ServiceError
from contracts.redis_keys import FRESHNESS_KEY, HEARTBEAT_KEY, STATS_KEY
from contracts.topics import TICK_FEATURES
from feature_store.online import writer, writer_stats
from feature_store.online.redis_layout import entity_key
from feature_store.online.store import connect
from feature_store.online.writer import OnlineWriter, consumer_config
from tests.feature_store.online.test_store import stored
from tests.support.feature_rows import NOW_MS, NOW_US, plain_row

SYMBOL = "BINANCE:BTCUSDT"


class Message:
    """A Kafka message, or an error in its place."""

    def __init__(self, value: Any, offset: int = 0, partition: int = 0, error: Any = None) -> None:
        self._value, self._offset, self._partition, self._error = value, offset, partition, error

    def value(self) -> Any:
        return self._value if isinstance(self._value, bytes | None) else orjson.dumps(self._value)

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return self._partition

    def error(self) -> Any:
        return self._error


class KafkaError:
    def __init__(self, fatal: bool) -> None:
        self._fatal = fatal

    def fatal(self) -> bool:
        return self._fatal

    def str(self) -> str:
        return "fenced"


class ScriptedConsumer:
    """Yields the batches in order, then sets `stop`; records what is committed."""

    def __init__(self, *batches: list[Message]) -> None:
        self.batches, self.stop = list(batches), threading.Event()
        self.commits: list[dict[int, int]] = []
        self.refused: KafkaException | None = None
        self.is_over: Callable[[], bool] = lambda: True
        self.positions = [SimpleNamespace(offset=offset) for offset in (4, -1001)]

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        if not self.batches:
            if self.is_over():
                self.stop.set()
            return []
        batch = self.batches[0]
        taken, self.batches[0] = batch[:count], batch[count:]
        if not self.batches[0] and timeout_s == 0:
            self.batches.pop(0)
        return taken

    def commit(self, offsets: list[Any], asynchronous: bool) -> None:
        if self.refused is not None:
            raise self.refused
        assert {at.topic for at in offsets} == {TICK_FEATURES.name}
        self.commits.append({at.partition: at.offset for at in offsets})

    def assignment(self) -> list[Any]:
        return self.positions

    def position(self, assigned: list[Any]) -> list[Any]:
        return assigned

    def get_watermark_offsets(self, _at: Any, cached: bool) -> tuple[int, int]:
        assert cached, "one request per partition and report would be slow"
        return 0, 11


@pytest.fixture
def run(client, store_settings):
    """Write scripted batches; returns the writer and its consumer."""

    def run(*batches: list[Message], consumer: ScriptedConsumer | None = None, **fields: Any):
        scripted = consumer or ScriptedConsumer(*batches)
        settings = store_settings.model_copy(update=fields)
        redis = connect(settings)
        online_writer = OnlineWriter(settings, scripted, redis, lambda: NOW_US)
        try:
            online_writer.run(scripted.stop)
        finally:
            redis.close()
        return online_writer, scripted

    return run


def rows(*times_ms: int, partition: int = 0) -> list[Message]:
    return [Message(plain_row(time_ms=at), i, partition) for i, at in enumerate(times_ms)]


def test_what_is_written_is_committed_at_the_end(run, client):
    online_writer, consumer = run(rows(NOW_MS - 5), [Message(plain_row(value=2.0), 7, 3)])
    assert stored(client, "tick_1s", SYMBOL) == (NOW_MS, 2.0)
    assert consumer.commits[-1] == {0: 1, 3: 8}
    assert (online_writer.counters.written, online_writer.counters.batches) == (2, 2)


def test_a_batch_counts_by_outcome(run):
    beat = {"view": "heartbeat", "event_time_ms": NOW_MS - 3}
    future = plain_row(symbol="F:X", time_ms=NOW_MS + 10**9)
    messages = [*rows(NOW_MS, NOW_MS - 1), Message(b"{", 2), Message(future, 3), Message(beat, 4)]
    counters = run(messages, rows(NOW_MS - 9))[0].counters
    assert (counters.messages, counters.written, counters.superseded) == (6, 1, 1)
    assert (counters.malformed, counters.future, counters.older, counters.heartbeats) == (
        1,
        1,
        1,
        1,
    )
    assert counters.newest_event_ms == NOW_MS


def test_rows_that_kafka_deleted_unread_are_counted_and_the_writer_goes_on(run, client):
    messages = [Message(plain_row(), 4), Message(plain_row(value=2.0), 9)]
    with capture_logs() as logs:
        online_writer, consumer = run(messages)
    assert (online_writer.counters.expired, online_writer.counters.messages) == (4, 2)
    assert consumer.commits[-1] == {0: 10}
    assert writer_stats.read(client).counters.expired == 4
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["offsets"] == "5 to 8" and "`tick online rebuild`" in entry["hint"]


def test_a_message_that_is_not_a_row_is_logged_with_its_place_and_committed(run):
    with capture_logs() as logs:
        _, consumer = run([Message(b"\xff" * 1000, 41, 2), Message(None, 42, 2)])
    first, second = [entry for entry in logs if entry["event"] == "malformed row"]
    assert (first["partition"], first["offset"], second["offset"]) == (2, 41, 42)
    assert len(first["error"]) <= 200
    assert consumer.commits[-1] == {2: 43}, "it would be read again and again otherwise"


def test_a_heartbeat_reaches_redis(run, client):
    run([Message({"view": "heartbeat", "event_time_ms": NOW_MS - 3})])
    assert int(client.get(HEARTBEAT_KEY)) == NOW_MS - 3


def test_without_messages_nothing_is_committed_and_the_report_says_so(run, client):
    _, consumer = run()
    assert consumer.commits == []
    report = writer_stats.read(client)
    assert (report.counters.messages, report.counters.updated_ms) == (0, NOW_MS)


def test_the_lag_counts_only_partitions_that_were_read(run):
    assert run()[0].counters.lag == 11 - 4


def test_a_consumer_ahead_of_cached_ends_has_no_negative_lag(run):
    consumer = ScriptedConsumer()
    consumer.positions = [SimpleNamespace(offset=500)]
    assert run(consumer=consumer)[0].counters.lag == 0


def test_freshness_is_the_time_from_row_end_to_redis(run, client):
    run(rows(NOW_MS - 40), [Message(plain_row(symbol="A:B", time_ms=NOW_MS - 90))])
    report = writer_stats.read(client)
    assert (report.samples, report.p50_ms, report.p99_ms) == (2, 90.0, 90.0)


def test_a_kafka_error_that_passes_is_logged_and_the_other_messages_are_written(run):
    with capture_logs() as logs:
        messages = [Message(b"", error=KafkaError(fatal=False)), *rows(NOW_MS)]
        online_writer, _ = run(messages)
    assert online_writer.counters.written == 1
    assert {"event": "kafka", "error": "fenced", "log_level": "warning"} in logs


def test_a_fatal_kafka_error_ends_the_writer_with_the_way_on(run):
    with pytest.raises(ServiceError, match="rejected the online writer: fenced") as error:
        run([Message(b"", error=KafkaError(fatal=True))])
    assert error.value.hint == "is a second online writer running? see `tick status`"


def test_a_commit_that_fails_is_logged_and_not_fatal(run):
    consumer = ScriptedConsumer(rows(NOW_MS))
    consumer.refused = KafkaException("rebalancing")
    with capture_logs() as logs:
        online_writer, _ = run(consumer=consumer)
    assert online_writer.counters.written == 1
    assert "offsets not committed" in [entry["event"] for entry in logs]


def test_without_redis_nothing_is_committed_and_the_writer_still_stops(run):
    consumer = ScriptedConsumer(rows(NOW_MS))
    retry = "batch not written to redis, retrying"
    with capture_logs() as logs:
        consumer.is_over = lambda: retry in [entry["event"] for entry in logs]
        online_writer, _ = run(consumer=consumer, redis_port=1, writer_retry_s_max=0.1)
    assert consumer.commits == []
    assert online_writer.counters.retries >= 1
    assert (online_writer.counters.written, online_writer.counters.messages) == (0, 0)
    assert "report not written" in [entry["event"] for entry in logs]


def test_the_log_line_has_the_counters_by_name(run):
    with capture_logs() as logs:
        run(rows(NOW_MS))
    (line,) = [entry for entry in logs if entry["event"] == "online writer"]
    assert set(writer.LOGGED) <= line.keys()


def test_unchanged_offsets_are_committed_again_only_at_the_end(run, monkeypatch):
    monkeypatch.setattr(writer, "REPORT_S", 0.0)
    _, consumer = run(rows(NOW_MS), rows(NOW_MS), rows(NOW_MS))
    assert 1 <= len(consumer.commits) <= 2
    assert set(map(str, consumer.commits)) == {"{0: 1}"}


def test_the_consumer_commits_only_by_itself_and_starts_at_the_beginning(store_settings):
    config = consumer_config(store_settings)
    assert config["enable.auto.commit"] is False
    assert config["auto.offset.reset"] == "earliest"
    assert config["group.instance.id"].startswith(config["group.id"])
    assert config["max.poll.interval.ms"] == 86_400_000


def test_the_counters_add_up_to_the_messages(run, client):
    run(rows(NOW_MS, NOW_MS), [Message(b"[]"), *rows(NOW_MS - 1)])
    stats = {name.decode(): int(value) for name, value in client.hgetall(STATS_KEY).items()}
    parts = ("written", "older", "superseded", "future", "malformed", "heartbeats", "damaged")
    assert stats["messages"] == sum(stats[part] for part in (*parts, "over_limit")) == 4


def test_a_damaged_key_is_counted_logged_and_committed(run, client):
    client.set(entity_key("A:POISON"), "not a hash")
    with capture_logs() as logs:
        messages = [Message(plain_row(symbol="A:POISON"), 0), Message(plain_row(value=2.0), 1)]
        online_writer, consumer = run(messages)
    counters = online_writer.counters
    assert (counters.written, counters.damaged, counters.retries) == (1, 1, 0)
    assert consumer.commits[-1] == {0: 2}
    assert stored(client, "tick_1s", SYMBOL) == (NOW_MS, 2.0)
    (line,) = [
        entry for entry in logs if entry["event"] == "rows not written, their key is damaged"
    ]
    assert "A:POISON" in line["error"] and line["rows"] == 1


def test_damage_is_logged_at_most_once_in_ten_seconds(run, client):
    client.set(entity_key("A:POISON"), "not a hash")
    batches = [[Message(plain_row(symbol="A:POISON"), at)] for at in range(5)]
    with capture_logs() as logs:
        online_writer, _ = run(*batches)
    assert online_writer.counters.damaged == 5
    assert [entry["event"] for entry in logs].count("rows not written, their key is damaged") == 1


def test_symbols_beyond_the_limit_are_counted_and_the_others_are_written(run, client):
    messages = [Message(plain_row(symbol=f"A:S{at}"), at) for at in range(5)]
    with capture_logs() as logs:
        online_writer, consumer = run(messages, online_symbols_max=3)
    counters = online_writer.counters
    assert (counters.written, counters.over_limit, counters.messages) == (3, 2, 5)
    assert consumer.commits[-1] == {0: 5}
    (line,) = [entry for entry in logs if "beyond TICK_ONLINE_SYMBOLS_MAX" in entry["event"]]
    assert line["limit"] == 3


def test_a_full_redis_is_told_and_the_rows_are_written_when_it_has_room(run, client):
    """The rows of a symbol that is stored are refused too, and none of them is lost."""
    run([Message(plain_row(value=1.0))])
    client.config_set("maxmemory", 1)
    consumer = ScriptedConsumer([Message(plain_row(time_ms=NOW_MS + 1, value=2.0), 1)])
    full = "redis is out of memory, retrying"
    with capture_logs() as logs:

        def make_room() -> bool:
            if full in [entry["event"] for entry in logs]:
                client.config_set("maxmemory", 0)
            return stored(client, "tick_1s", SYMBOL) == (NOW_MS + 1, 2.0)

        consumer.is_over = make_room
        try:
            online_writer, _ = run(consumer=consumer, writer_retry_s_max=0.05)
        finally:
            client.config_set("maxmemory", 0)
    assert consumer.commits == [{0: 2}]
    counters = online_writer.counters
    assert counters.written == 1 and 1 <= counters.out_of_memory <= counters.retries
    (first, *_) = [entry for entry in logs if entry["event"] == full]
    assert "TICK_REDIS_MEMORY_MB" in first["hint"]


def test_a_damaged_report_is_replaced(run, client):
    client.set(STATS_KEY, "not a hash")
    client.set(FRESHNESS_KEY, "not a list")
    run(rows(NOW_MS), rows(NOW_MS))
    assert writer_stats.read(client).counters.written == 2
