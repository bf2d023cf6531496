"""Kafka topics with their partitions, retention and timestamps. `stack` creates them."""

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. With `log_append_time` the broker stamps arrivals, which a producer cannot forge."""

    name: str
    partitions: int = 4
    retention_ms: int = 7 * DAY_MS
    log_append_time: bool = True


TICKS = Topic("ticks")
# The newest minutes of silver, replayed into a job that starts without state. These ticks are not
# written to silver a second time.
WARMUP = Topic("ticks.warmup", retention_ms=DAY_MS)
DEAD_LETTER = Topic("ticks.dead_letter", partitions=1, retention_ms=30 * DAY_MS)
TICK_FEATURES = Topic("tick_features", retention_ms=DAY_MS)
PREDICTIONS = Topic("predictions", partitions=1)

TOPICS = (TICKS, WARMUP, DEAD_LETTER, TICK_FEATURES, PREDICTIONS)
