"""Metrics of the rest of the platform, read on request: pipeline lag, online writer, dead letters,
parity, drift, and the comparison of the Production model and its challenger.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.redis_keys import (
    COMPARISON_KEY,
    DRIFT_KEY,
    HEARTBEAT_KEY,
    PARITY_KEY,
    STATS_KEY,
)
from contracts.topics import DEAD_LETTER
from feature_store.online.reader import OnlineReader, OnlineStoreUnavailable
from feature_store.online.redis_layout import parse_integer
from feature_store.online.writer_stats import parse_counters

KAFKA_TIMEOUT_S = 1.0
DEAD_LETTERS_AGE_S_MAX = 10.0  # Kafka is queried at most this often
# Rows that the online writer counted and did not write, by counter.
SKIPPED_ROWS = {
    "damaged": "rows not written because their key in Redis is damaged",
    "over_limit": "rows of new symbols beyond online_symbols_max, not written",
    "expired": "rows that Kafka deleted before the writer read them",
    "future": "rows not written because they are ahead of the writer's clock",
}


@dataclass(frozen=True, eq=False)
class PlatformSnapshot(Collector):
    """The platform at one time; None for what could not be read.

    `lag_s` is now − the newest event time that passed through the whole pipeline. `parity`, `drift`
    and `comparison` are the last totals of `tick parity`, `tick drift` and `tick model compare`.
    """

    lag_s: float | None = None
    writer: dict[str, int] = field(default_factory=dict)
    dead_letters: int | None = None
    parity: dict[str, Any] | None = None
    drift: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    redis_up: bool = False
    redis_bytes: int | None = None
    redis_bytes_max: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The `stream` object of /v1/live."""
        return {
            "lag_s": self.lag_s,
            "writer": self.writer,
            "dead_letters": self.dead_letters,
            "parity": self.parity,
            "drift": self.drift,
            "duel": self.comparison,
        }

    def collect(self) -> Iterator[Metric]:
        """The Prometheus metrics; unknown values have no sample."""
        yield gauge(
            "tick_pipeline_lag_seconds",
            "now - newest event time that passed through the pipeline",
            self.lag_s,
        )
        yield from self._redis_metrics()
        yield from _writer_metrics(self.writer)
        yield gauge(
            "tick_dead_letters",
            "dead letters ever written; workers can differ by ten seconds",
            self.dead_letters,
        )
        yield from _parity_metrics(self.parity or {})
        yield from _drift_metrics(self.drift or {})
        yield from _comparison_metrics(self.comparison or {})

    def _redis_metrics(self) -> Iterator[Metric]:
        yield gauge("tick_redis_up", "1 when Redis answers this process", float(self.redis_up))
        yield gauge("tick_redis_memory_bytes", "memory that Redis uses", self.redis_bytes)
        yield gauge(
            "tick_redis_memory_max_bytes",
            "maxmemory of Redis; no sample without a limit",
            self.redis_bytes_max,
        )


def _writer_metrics(stats: Mapping[str, int]) -> Iterator[Metric]:
    yield gauge(
        "tick_writer_lag_messages",
        "feature rows that the online writer has not read yet",
        stats.get("lag"),
    )
    yield counter(
        "tick_writer_rows",
        "feature rows that the online writer wrote to Redis",
        stats.get("written"),
    )
    yield counter(
        "tick_writer_older_rows",
        "rows that it skipped because Redis had a newer one",
        stats.get("older"),
    )
    yield counter(
        "tick_writer_overflowed_rows",
        "feature rows with a NULL because a sum does not fit 64 bits",
        stats.get("overflowed"),
    )
    yield counter(
        "tick_writer_retries",
        "batches that it retried while Redis was unavailable or full",
        stats.get("retries"),
    )
    for name, documentation in SKIPPED_ROWS.items():
        yield counter(f"tick_writer_{name}_rows", documentation, stats.get(name))
    yield gauge(
        "tick_writer_updated_seconds",
        "time of the online writer's last report, s since 1970",
        _seconds(stats.get("updated_ms"), per_second=1e3),
    )


def _parity_metrics(parity: Mapping[str, Any]) -> Iterator[Metric]:
    yield gauge(
        "tick_parity_unexplained",
        "differing values without an explanation in the last parity report",
        _number(parity, "unexplained"),
    )
    yield gauge(
        "tick_parity_values_compared",
        "values compared in the last parity report",
        _number(parity, "values_compared"),
    )
    yield gauge(
        "tick_parity_taken_seconds",
        "time of the last parity report, s since 1970",
        _seconds(_number(parity, "taken_us")),
    )


def _drift_metrics(drift: Mapping[str, Any]) -> Iterator[Metric]:
    yield gauge(
        "tick_drift_features",
        "core features whose PSI is over the alert limit",
        _number(drift, "alerts"),
    )
    yield gauge(
        "tick_drift_prediction_psi",
        "PSI of the predictions against training",
        _number(drift, "prediction_psi"),
    )


def _comparison_metrics(comparison: Mapping[str, Any]) -> Iterator[Metric]:
    yield gauge(
        "tick_challenger_gain_bps",
        "mean net return per decision, challenger less Production, bps, in the last comparison",
        _number(comparison, "gain_bps"),
    )
    yield gauge(
        "tick_challenger_gain_low_bps",
        "lower end of its 95 % interval",
        _number(comparison, "low_bps"),
    )
    yield gauge(
        "tick_challenger_gain_high_bps",
        "upper end of its 95 % interval",
        _number(comparison, "high_bps"),
    )
    yield gauge(
        "tick_challenger_taken_seconds",
        "time of the last comparison, s since 1970",
        _seconds(_number(comparison, "taken_us")),
    )


class PlatformMetrics:
    """Reads snapshots of the platform; a part that does not respond in time is None in that one."""

    def __init__(self, settings: KafkaSettings, get_reader: Callable[[], OnlineReader]) -> None:
        self._settings = settings
        self._get_reader = get_reader
        self._dead_letters: int | None = None
        self._dead_letters_read_s = -DEAD_LETTERS_AGE_S_MAX
        self._consumer: Consumer | None = None

    async def read(self) -> PlatformSnapshot:
        """A snapshot as of now."""
        dead_letters = await self._read_dead_letters()
        reader = self._get_reader()
        try:
            heartbeat, *reports = await reader.get_values(
                HEARTBEAT_KEY, PARITY_KEY, DRIFT_KEY, COMPARISON_KEY
            )
            memory_bytes, memory_bytes_max = await reader.memory_bytes()
        except OnlineStoreUnavailable:
            return PlatformSnapshot(dead_letters=dead_letters)
        heartbeat_ms = parse_integer(heartbeat)
        parity, drift, comparison = map(_parse_report, reports)
        lag_s = None if heartbeat_ms is None else now_us() / 1e6 - heartbeat_ms / 1e3
        return PlatformSnapshot(
            lag_s,
            await _read_writer(reader),
            dead_letters,
            parity=parity,
            drift=drift,
            comparison=comparison,
            redis_up=True,
            redis_bytes=memory_bytes,
            redis_bytes_max=memory_bytes_max,
        )

    async def _read_dead_letters(self) -> int | None:
        """The number of dead letters ever written, as the end offset of their topic."""
        if time.monotonic() - self._dead_letters_read_s >= DEAD_LETTERS_AGE_S_MAX:
            self._dead_letters_read_s = time.monotonic()
            self._dead_letters = await asyncio.to_thread(self._query_end_offset)
        return self._dead_letters

    def _query_end_offset(self) -> int | None:
        if self._consumer is None:
            options = {
                "group.id": "api-figures",
                "enable.auto.commit": False,
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
            self._consumer = Consumer({**connections.kafka(self._settings), **options})
        partition = TopicPartition(DEAD_LETTER.name, 0)
        try:
            _, end_offset = self._consumer.get_watermark_offsets(partition, KAFKA_TIMEOUT_S)
        except KafkaException:
            return None
        return int(end_offset)

    def close(self) -> None:
        """Close the Kafka consumer."""
        if self._consumer is not None:
            self._consumer.close()


async def _read_writer(reader: OnlineReader) -> dict[str, int]:
    """The counters of the online writer; empty when there are none that can be read."""
    try:
        return parse_counters(await reader.get_hash(STATS_KEY))
    except OnlineStoreUnavailable:
        return {}


def _parse_report(text: bytes | None) -> dict[str, Any] | None:
    try:
        report = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return report if isinstance(report, dict) else None


def _number(report: Mapping[str, Any], name: str) -> float | None:
    """The number of a stored report; None when it is absent or of another type."""
    value = report.get(name)
    return value if isinstance(value, int | float) else None


def _seconds(time: float | None, per_second: float = 1e6) -> float | None:
    return None if time is None else time / per_second


def gauge(name: str, documentation: str, value: float | None) -> Metric:
    """A gauge with one sample; None = no sample."""
    return _add_sample(GaugeMetricFamily(name, documentation), value)


def counter(name: str, documentation: str, value: float | None) -> Metric:
    """A counter with one sample; None = no sample."""
    return _add_sample(CounterMetricFamily(name, documentation), value)


def labelled_gauge(
    name: str, documentation: str, label: str, values: Mapping[str, float]
) -> Metric:
    """A gauge with one sample per label value."""
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for label_value, value in values.items():
        family.add_metric((label_value,), value)
    return family


def _add_sample(
    family: GaugeMetricFamily | CounterMetricFamily, value: float | None
) -> GaugeMetricFamily | CounterMetricFamily:
    if value is not None:
        family.add_metric((), value)
    return family
