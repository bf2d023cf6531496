"""Statistics of the online writer in Redis: counters and freshness samples.

`tick status` and the demo show them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import redis

from contracts.config.groups.redis import RedisSettings
from contracts.redis_keys import FRESHNESS_KEY, HEARTBEAT_KEY, STATS_KEY
from feature_store.online.redis_layout import parse_integer
from feature_store.online.store import connect
from feature_store.online.write_errors import is_damage


@dataclass(slots=True)
class Counters:
    """Counters since the writer started.

    messages = written + older + superseded + future + malformed + damaged + over_limit
    + heartbeats.
    """

    messages: int = 0
    written: int = 0
    older: int = 0  # Redis had a newer row of that view
    superseded: int = 0  # the same batch had a newer row of that view
    future: int = 0
    malformed: int = 0
    damaged: int = 0  # Redis stores something under their key that cannot be read or replaced
    over_limit: int = 0  # rows of new symbols beyond `online_symbols_max`
    expired: int = 0  # deleted by Kafka before they were read; not among the messages
    heartbeats: int = 0
    overflowed: int = 0  # messages whose row has a NULL because a sum does not fit 64 bits
    batches: int = 0
    retries: int = 0
    out_of_memory: int = 0  # those of the retries whose cause was the memory limit of Redis
    newest_event_ms: int = 0
    lag: int = 0  # messages in the topic that are not yet read
    updated_ms: int = 0


COUNTER_NAMES = tuple(field.name for field in fields(Counters))


@dataclass(frozen=True, slots=True)
class WriterReport:
    """The writer's counters and freshness: ms from a row's end to Redis, over the newest samples.

    The quantiles are None without samples.
    """

    counters: Counters
    samples: int
    p50_ms: float | None
    p99_ms: float | None


def publish(
    client: redis.Redis, counters: Counters, ages_ms: Sequence[int], samples_max: int
) -> None:
    """Store the counters and append freshness samples, keeping the newest `samples_max`.

    A report of another type is replaced. Raises redis.RedisError.
    """
    try:
        _store(client, counters, ages_ms, samples_max)
    except redis.ResponseError as error:
        if not is_damage(error):
            raise
        client.delete(STATS_KEY, FRESHNESS_KEY)
        _store(client, counters, ages_ms, samples_max)


def _store(
    client: redis.Redis, counters: Counters, ages_ms: Sequence[int], samples_max: int
) -> None:
    pipe: Any
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(STATS_KEY, mapping=asdict(counters))
        if ages_ms:
            pipe.rpush(FRESHNESS_KEY, *ages_ms)
            pipe.ltrim(FRESHNESS_KEY, -samples_max, -1)
        pipe.execute()


def _quantile(ordered: Sequence[int], share: float) -> float | None:
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None


def parse_counters(stored: Mapping[bytes, bytes]) -> dict[str, int]:
    """The counters of a stored report by name, without fields that this version does not know or
    whose value is not an integer.
    """
    values = {name: parse_integer(stored.get(name.encode())) for name in COUNTER_NAMES}
    return {name: value for name, value in values.items() if value is not None}


def read(client: redis.Redis) -> WriterReport:
    """The writer's newest report; zeros when it never ran. Raises redis.RedisError."""
    stored: Any = client.hgetall(STATS_KEY)
    ages: Any = client.lrange(FRESHNESS_KEY, 0, -1)
    counters = Counters(**parse_counters(stored))
    ordered = sorted(age for age in map(parse_integer, ages) if age is not None)
    return WriterReport(counters, len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.99))


def processed_to_us(settings: RedisSettings) -> int:
    """Newest event time that the live job has processed, µs UTC; 0 when unknown."""
    try:
        with connect(settings) as client:
            heartbeat_ms: Any = client.get(HEARTBEAT_KEY)
    except redis.RedisError:
        return 0
    return (parse_integer(heartbeat_ms) or 0) * 1000
