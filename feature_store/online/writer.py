"""Online writer: Kafka `tick_features` → Redis, as a process with one write in flight at a time.

1. Take the messages that Kafka has (waiting at most `writer_poll_ms` for the first), decode them,
   keep the newest row per (symbol, view).
2. Record the previous write: it has ended, so its offsets may be committed and its rows counted.
3. Write in a second thread, so that Redis works while the next batch is decoded. While Redis is
   unavailable or out of memory, retry indefinitely. A row whose key in Redis is damaged, or whose
   symbol is beyond `online_symbols_max`, is counted and skipped, so that it stops no other symbol.
4. Report once a second: commit, counters, freshness.

On SIGTERM it records the write in flight, commits and exits. A crash at any step redelivers rows;
the guard in Redis makes that harmless. Run it with `python -m feature_store.online.writer`.
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
import redis
import structlog
import tenacity
from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts import live_job
from contracts.clock import now_us
from contracts.config import connections, logs
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.groups.redis import RedisSettings
from contracts.config.settings import settings as read_settings
from contracts.errors import ServiceError
from contracts.feature_row import HEARTBEAT_VIEW
from contracts.features import OVERFLOWS
from contracts.topics import TICK_FEATURES
from feature_store.online import writer_stats
from feature_store.online.offset_gaps import OffsetGaps
from feature_store.online.store import (
    MalformedRowError,
    OnlineTable,
    Row,
    WriteCounts,
    connect,
    encode_row,
)
from feature_store.online.write_errors import is_out_of_memory
from feature_store.online.writer_stats import Counters

GROUP = live_job.WRITER_GROUP
REPORT_S = 1.0
LOG_S = 10.0
LOGGED = (
    "written",
    "older",
    "future",
    "malformed",
    "damaged",
    "over_limit",
    "expired",
    "lag",
)  # counters
DAY_MS = 86_400_000
RETRY_S_MIN = 0.05
MEMORY_HINT = "raise TICK_REDIS_MEMORY_MB, or lower TICK_ONLINE_SYMBOLS_MAX and delete keys"

log = structlog.get_logger()


@dataclass(slots=True)
class Batch:
    """Decoded messages of one write: the newest row per (symbol, view), and their offsets."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    heartbeat_ms: int = 0
    counters: Counters = field(default_factory=Counters)

    def add(self, value: bytes) -> None:
        """Add one message. Raises MalformedRowError."""
        self.counters.messages += 1
        try:
            message = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise MalformedRowError(str(error)) from error
        if not isinstance(message, dict):
            raise MalformedRowError("not an object")
        if message.get("view") == HEARTBEAT_VIEW:
            self._add_heartbeat(message.get("event_time_ms"))
        else:
            self._add_row(encode_row(message))
            self.counters.overflowed += bool(message.get(OVERFLOWS[message["view"]]))

    def _add_heartbeat(self, time_ms: Any) -> None:
        if type(time_ms) is not int:
            raise MalformedRowError(f"event_time_ms is {time_ms!r}")
        self.counters.heartbeats += 1
        self.heartbeat_ms = max(self.heartbeat_ms, time_ms)

    def _add_row(self, row: Row) -> None:
        key = row.symbol, row.view
        previous = self.rows.setdefault(key, row)
        if previous is row:
            return
        self.counters.superseded += 1
        if row.event_time_ms >= previous.event_time_ms:
            self.rows[key] = row


def consumer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Kafka consumer options: offsets are committed explicitly, and only after the write."""
    return {
        **connections.kafka(settings),
        "group.id": GROUP,
        # Static membership: after kill -9 its successor takes over at once instead of after the
        # session timeout.
        "group.instance.id": f"{GROUP}-1",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # Even a long outage of Redis must not remove the consumer from the group.
        "max.poll.interval.ms": DAY_MS,
        "fetch.wait.max.ms": 50,
    }


class OnlineWriter:
    """The loop from a subscribed consumer to Redis; `clock` returns the current time in µs."""

    def __init__(
        self,
        settings: RedisSettings,
        consumer: Any,
        client: redis.Redis,
        clock: Callable[[], int] = now_us,
        gaps: OffsetGaps | None = None,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._client = client
        self._clock = clock
        self._table = OnlineTable(client, settings)
        self._gaps = gaps or OffsetGaps()
        self._written_offsets: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._ages_ms: deque[int] = deque(maxlen=settings.writer_freshness_samples)
        self._reported_s = self._logged_s = 0.0
        self._skipped_logged_s: dict[str, float] = {}
        self.counters = Counters()

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set. Raises ServiceError when Kafka rejects this consumer."""
        writing: Future[WriteCounts | None] | None = None
        batch = Batch()
        with ThreadPoolExecutor(1, "redis") as thread:
            try:
                while not stop.is_set():
                    new_batch = self._read_batch()
                    if writing and (new_batch or writing.done()):
                        self._record_write(batch, writing.result())
                        writing = None
                    if new_batch and not stop.is_set():
                        batch, writing = new_batch, thread.submit(self._write, new_batch, stop)
                    self._report()
            finally:
                stop.set()  # also after an error: the thread must stop retrying
            if writing:
                self._record_write(batch, writing.result())
        self._publish()
        self._commit(wait=True)

    def _read_batch(self) -> Batch | None:
        first = self._consumer.consume(1, self._settings.writer_poll_ms / 1000)
        if not first:
            return None
        batch = Batch()
        for message in first + self._consumer.consume(self._settings.writer_batch_rows - 1, 0):
            if message.error():
                _raise_if_fatal(message.error())
                continue
            batch.offsets[message.partition()] = message.offset() + 1
            batch.counters.expired += self._gaps.count_before(message.partition(), message.offset())
            try:
                batch.add(message.value() or b"")
            except MalformedRowError as error:
                batch.counters.malformed += 1
                _log_malformed(message, error)
        return batch

    def _write(self, batch: Batch, stop: threading.Event) -> WriteCounts | None:
        """The outcome of the batch; None when Redis stayed unavailable until `stop`.

        Then the batch is neither written nor committed.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(redis.RedisError),
            wait=tenacity.wait_exponential(RETRY_S_MIN, self._settings.writer_retry_s_max),
            stop=tenacity.stop_when_event_set(stop),
            sleep=tenacity.sleep_using_event(stop),
            before_sleep=self._log_retry,
            retry_error_callback=lambda _: None,
        )
        written: WriteCounts | None = retrying(self._write_once, batch)
        return written

    def _write_once(self, batch: Batch) -> WriteCounts:
        written = self._table.write(batch.rows.values(), self._clock() // 1000, batch.heartbeat_ms)
        written.done_ms = self._clock() // 1000
        return written

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        self.counters.retries += 1
        error = state.outcome.exception() if state.outcome else None
        if is_out_of_memory(error):
            self.counters.out_of_memory += 1
            log.error("redis is out of memory, retrying", hint=MEMORY_HINT)
            return
        log.warning(
            "batch not written to redis, retrying",
            attempt=state.attempt_number,
            error=str(error)[:200],
        )

    def _record_write(self, batch: Batch, written: WriteCounts | None) -> None:
        if written is None:
            return
        self._written_offsets.update(batch.offsets)
        total = self.counters
        total.batches += 1
        for name in ("messages", "superseded", "malformed", "heartbeats", "overflowed", "expired"):
            setattr(total, name, getattr(total, name) + getattr(batch.counters, name))
        for name in ("written", "older", "future", "damaged", "over_limit"):
            setattr(total, name, getattr(total, name) + getattr(written, name))
        self._log_skipped(written)
        total.newest_event_ms = max(total.newest_event_ms, *written.times_ms, 0)
        self._ages_ms.extend(written.done_ms - time_ms for time_ms in written.times_ms)

    def _log_skipped(self, written: WriteCounts) -> None:
        """Log rows that were not written, at most every `LOG_S` for each reason."""
        if written.damaged and self._is_log_due("damaged"):
            log.error(
                "rows not written, their key is damaged",
                rows=written.damaged,
                error=written.damage,
                hint="delete the key, see docs/runbooks.md, RowsDamaged",
            )
        if written.over_limit and self._is_log_due("over_limit"):
            log.error(
                "rows of new symbols not written, they are beyond TICK_ONLINE_SYMBOLS_MAX",
                rows=written.over_limit,
                limit=self._settings.online_symbols_max,
            )

    def _is_log_due(self, reason: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._skipped_logged_s.get(reason, -LOG_S) < LOG_S:
            return False
        self._skipped_logged_s[reason] = now_s
        return True

    def _report(self) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s < REPORT_S:
            return
        self._reported_s = now_s
        self._commit()
        self._publish()
        if now_s - self._logged_s >= LOG_S:
            self._logged_s = now_s
            counters = asdict(self.counters)
            log.info("online writer", **{name: counters[name] for name in LOGGED})

    def _commit(self, wait: bool = False) -> None:
        due = self._written_offsets if wait or self._written_offsets != self._committed else {}
        if not due:
            return
        offsets = [TopicPartition(TICK_FEATURES.name, *written) for written in due.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=not wait)
            self._committed = dict(due)
        except KafkaException as error:
            # The rows are in Redis; uncommitted ones are delivered again and change nothing.
            log.warning("offsets not committed", error=str(error))

    def _publish(self) -> None:
        self.counters.updated_ms, self.counters.lag = self._clock() // 1000, self._lag()
        try:
            writer_stats.publish(
                self._client, self.counters, self._ages_ms, self._settings.writer_freshness_samples
            )
            self._ages_ms.clear()
        except redis.RedisError as error:
            log.warning("report not written", error=str(error)[:200])

    def _lag(self) -> int:
        """Messages in the assigned partitions that are not yet read, as of the last fetches."""
        positions: Sequence[Any] = self._consumer.position(self._consumer.assignment())
        ends = [self._consumer.get_watermark_offsets(at, cached=True)[1] for at in positions]
        return sum(
            max(0, end - at.offset)
            for at, end in zip(positions, ends, strict=True)
            if at.offset >= 0
        )


def _log_malformed(message: Any, error: MalformedRowError) -> None:
    log.warning(
        "malformed row",
        partition=message.partition(),
        offset=message.offset(),
        error=str(error)[:200],
    )


def _raise_if_fatal(error: Any) -> None:
    if error.fatal():
        raise ServiceError(
            f"Kafka rejected the online writer: {error.str()}",
            "is a second online writer running? see `tick status`",
        )
    log.warning("kafka", error=error.str())


def main() -> None:
    """Run the writer until SIGTERM or SIGINT."""
    logs.configure()
    settings, stop = read_settings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    consumer, client = Consumer(consumer_config(settings)), connect(settings)
    gaps = OffsetGaps()
    consumer.subscribe([TICK_FEATURES.name], on_assign=gaps.on_assign)
    try:
        OnlineWriter(settings, consumer, client, gaps=gaps).run(stop)
    finally:
        consumer.close()
        client.close()


if __name__ == "__main__":
    main()
