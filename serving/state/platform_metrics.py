"""What the rest of the platform tells of itself, read when someone asks: the writer's report, lag,
dead letters, parity, drift.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.clock import now_us
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.redis_keys import (
    DRIFT_KEY,
    DUEL_KEY,
    HEARTBEAT_REDIS_KEY,
    PARITY_KEY,
    STATS_REDIS_KEY,
)
from contracts.topics import DEAD_LETTER
from feature_store.online.reader import OnlineReader, OnlineStoreUnavailable

KAFKA_TIMEOUT_S = 1.0
LETTERS_AGE_S_MAX = 10.0  # Kafka is asked at most this often
log = structlog.get_logger("serving")


@dataclass(frozen=True, eq=False)
class Platform(Collector):
    """One reading; None for what could not be read. `lag_s`: now − newest event time that came
    through the whole stream.
    """

    lag_s: float | None = None
    writer: dict[str, int] = field(default_factory=dict)
    dead_letters: int | None = None
    parity: dict[str, Any] | None = None
    drift: dict[str, Any] | None = None
    duel: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            name: getattr(self, name)
            for name in ("lag_s", "writer", "dead_letters", "parity", "drift", "duel")
        }

    def collect(self) -> Iterator[Metric]:
        """The same for Prometheus; what is not known has no sample."""
        yield gauge(
            "tick_pipeline_lag_seconds",
            "now - newest event time that came through the stream",
            self.lag_s,
        )
        yield gauge(
            "tick_writer_lag_messages",
            "feature rows that the online writer has not read yet",
            self.writer.get("lag"),
        )
        yield counter(
            "tick_writer_rows",
            "feature rows the online writer wrote to Redis",
            self.writer.get("written"),
        )
        yield counter(
            "tick_writer_older_rows", "rows it refused for a newer one", self.writer.get("older")
        )
        what = "feature rows with a NULL because a sum does not fit 64 bits"
        yield counter("tick_writer_overflowed_rows", what, self.writer.get("overflowed"))
        yield counter(
            "tick_writer_retries",
            "batches it tried again while Redis was away",
            self.writer.get("retries"),
        )
        yield gauge(
            "tick_dead_letters",
            "messages that were no ticks, ever; a worker may be ten seconds behind another",
            self.dead_letters,
        )
        parity, drift, duel = self.parity or {}, self.drift or {}, self.duel or {}
        yield gauge(
            "tick_parity_unexplained",
            "values of the last parity report without an explanation",
            parity.get("unexplained"),
        )
        yield gauge(
            "tick_parity_values_compared",
            "values of the last parity report",
            parity.get("values_compared"),
        )
        yield gauge(
            "tick_parity_taken_seconds",
            "when it was taken, s since 1970",
            _seconds(parity.get("taken_us")),
        )
        yield gauge(
            "tick_drift_features",
            "core features whose PSI is over the alert limit",
            drift.get("alerts"),
        )
        yield gauge(
            "tick_drift_prediction_psi",
            "PSI of the predictions against training",
            drift.get("prediction_psi"),
        )
        what = "net return a moment of the challenger less the champion's, bps, as last compared"
        yield gauge("tick_challenger_gain_bps", what, duel.get("gain_bps"))
        yield gauge(
            "tick_challenger_gain_low_bps", "lower end of its 95 % interval", duel.get("low_bps")
        )
        yield gauge(
            "tick_challenger_gain_high_bps", "upper end of its 95 % interval", duel.get("high_bps")
        )
        yield gauge(
            "tick_challenger_taken_seconds",
            "when they were compared, s since 1970",
            _seconds(duel.get("taken_us")),
        )


class Figures:
    """Reads them; a part that does not answer in time is missing from that reading."""

    def __init__(self, settings: Settings, reader: Callable[[], OnlineReader]) -> None:
        self._settings, self._reader = settings, reader
        self._letters: int | None = None
        self._letters_at_s = -LETTERS_AGE_S_MAX
        self._consumer: Consumer | None = None

    async def read(self) -> Platform:
        """One reading."""
        letters = await self._dead_letters()
        try:
            beat, *told = await self._reader().texts(
                HEARTBEAT_REDIS_KEY, PARITY_KEY, DRIFT_KEY, DUEL_KEY
            )
            writer = await self._reader().table(STATS_REDIS_KEY)
        except OnlineStoreUnavailable:
            return Platform(dead_letters=letters)
        lag_s = None if beat is None else now_us() / 1e6 - int(beat) / 1e3
        counts = {name.decode(): int(value) for name, value in writer.items()}
        return Platform(lag_s, counts, letters, *map(_json, told))

    async def _dead_letters(self) -> int | None:
        """End of their topic: how many there ever were."""
        if time.monotonic() - self._letters_at_s >= LETTERS_AGE_S_MAX:
            self._letters_at_s = time.monotonic()
            self._letters = await asyncio.to_thread(self._ask_kafka)
        return self._letters

    def _ask_kafka(self) -> int | None:
        if self._consumer is None:
            quiet = {
                "group.id": "api-figures",
                "enable.auto.commit": False,
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
            self._consumer = Consumer({**connections.kafka(self._settings), **quiet})
        try:
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(DEAD_LETTER.name, 0), KAFKA_TIMEOUT_S
            )
        except KafkaException:
            return None
        return int(high)

    def close(self) -> None:
        """Leave Kafka."""
        if self._consumer is not None:
            self._consumer.close()


def _json(text: bytes | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6


def gauge(name: str, what: str, value: float | None) -> Metric:
    """A gauge with one sample, or none for None."""
    return _with(GaugeMetricFamily(name, what), value)


def counter(name: str, what: str, value: float | None) -> Metric:
    """A counter with one sample, or none for None."""
    return _with(CounterMetricFamily(name, what), value)


def labelled(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with one sample per value of its label."""
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _with(made: GaugeMetricFamily | CounterMetricFamily, value: float | None) -> Metric:
    """What is not known has no sample."""
    if value is not None:
        made.add_metric((), value)
    return made
