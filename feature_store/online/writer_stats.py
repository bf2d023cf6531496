"""What the online writer tells about itself: counters and newest freshness samples, in Redis, for
`tick status` and the demo.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import redis

from contracts.config.settings import Settings
from feature_store.online.redis_layout import (
    FRESHNESS_REDIS_KEY,
    HEARTBEAT_REDIS_KEY,
    STATS_REDIS_KEY,
)
from feature_store.online.store import connect


@dataclass(slots=True)
class Counters:
    """Since the writer started. messages = written + older + superseded + future + malformed +
    heartbeats.
    """

    messages: int = 0
    written: int = 0
    older: int = 0  # Redis held a newer row of that view
    superseded: int = 0  # a newer row of the same view came in the same batch
    future: int = 0
    malformed: int = 0
    heartbeats: int = 0
    overflowed: int = 0  # of the messages: rows with a NULL because a sum does not fit 64 bits
    batches: int = 0
    retries: int = 0
    newest_event_ms: int = 0
    lag: int = 0  # messages in the topic that are not yet read
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Counters of the writer and its freshness: ms from a row's end to Redis, over the newest
    samples; None without any.
    """

    counters: Counters
    samples: int
    p50_ms: float | None
    p99_ms: float | None


def publish(
    client: redis.Redis, counters: Counters, ages_ms: Sequence[int], samples_max: int
) -> None:
    """Store the counters and append freshness samples, the newest `samples_max` stay. Raises
    redis.RedisError.
    """
    pipe: Any
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(STATS_REDIS_KEY, mapping=asdict(counters))
        if ages_ms:
            pipe.rpush(FRESHNESS_REDIS_KEY, *ages_ms)
            pipe.ltrim(FRESHNESS_REDIS_KEY, -samples_max, -1)
        pipe.execute()


def _quantile(ordered: Sequence[int], share: float) -> float | None:
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None


def read(client: redis.Redis) -> Report:
    """The writer's newest report; zeros when it never ran. Raises redis.RedisError."""
    held: Any = client.hgetall(STATS_REDIS_KEY)
    ages: Any = client.lrange(FRESHNESS_REDIS_KEY, 0, -1)
    known = Counters.__dataclass_fields__
    counters = Counters(
        **{name.decode(): int(value) for name, value in held.items() if name.decode() in known}
    )
    ordered = sorted(map(int, ages))
    return Report(counters, len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.99))


def reached_us(settings: Settings) -> int:
    """Newest event time that has come through the live job, µs UTC; 0 when there is none or Redis
    does not answer.
    """
    try:
        with connect(settings) as client:
            held: Any = client.get(HEARTBEAT_REDIS_KEY)
    except redis.RedisError:
        return 0
    return int(held or 0) * 1000
