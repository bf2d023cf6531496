"""Kafka topics: partitions, retention and clean-up, created by `stack` and named nowhere else."""

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic; `log_append_time` makes the broker stamp arrivals, which no sender can forge."""

    name: str
    partitions: int = 4
    retention_ms: int = 7 * DAY_MS
    log_append_time: bool = True


TICKS = Topic("ticks")
# The newest minutes of silver, replayed into a job that starts without state; never written to
# silver again.
WARMUP = Topic("ticks.warmup", retention_ms=DAY_MS)
DEAD_LETTER = Topic("ticks.dead_letter", partitions=1, retention_ms=30 * DAY_MS)
TICK_FEATURES = Topic("tick_features", retention_ms=DAY_MS)
PREDICTIONS = Topic("predictions", partitions=1)

TOPICS = (TICKS, WARMUP, DEAD_LETTER, TICK_FEATURES, PREDICTIONS)
