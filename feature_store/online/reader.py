"""Online features for one prediction: one round trip for all symbols, order fixed by name.

Ages and missing values are reported, never guessed. Feast's reader has no timeouts, applies no TTL
and reports PRESENT with nulls for absent rows; this one reads the same bytes and reports what is
there.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import TickError
from contracts.features import COLUMNS, CORE
from contracts.redis_keys import HEARTBEAT_KEY
from contracts.windows import LEVELS
from feature_store.online.redis_layout import (
    METADATA_NAMES,
    PROJECT,
    decode_double,
    decode_int64,
    decode_time_us,
    entity_key,
    field,
    parse_integer,
    symbol_of,
    time_field,
)
from feature_store.online.write_errors import is_damage

VIEW_OF = {column.name: column.view for column in COLUMNS}
TILE_S = {level.view: level.tile_s for level in LEVELS}
FASTEST = LEVELS[0].view
FIELDS_PER_VIEW = 1 + len(METADATA_NAMES)  # its time first


class OnlineStoreUnavailable(TickError):  # noqa: N818 - named after the state reported (503)
    """Redis did not answer in time."""


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """The online features of one symbol.

    Times are event times in µs; ages are in seconds relative to the `now_us` of the read. `values`
    is in plan order, None where missing. `age_s` is the age of the newest 1 s row. `old_views` are
    older than `stale_s` plus the length of their bar. `warm_s` is the smallest, `known_at_us` the
    newest of all views.
    """

    symbol: str
    found: bool
    values: list[float | None]
    missing: tuple[str, ...]
    event_time_us: dict[str, int | None]
    age_s: float | None
    old_views: tuple[str, ...]
    warm_s: int
    known_at_us: int

    @property
    def complete(self) -> bool:
        """Whether every feature of the plan is present and no view is too old."""
        return self.found and not self.missing and not self.old_views


class ReadPlan:
    """Maps feature names to hash fields and positions, computed once.

    The fields are the features in their order, then time and metadata of each view.
    """

    def __init__(self, names: Sequence[str], settings: Settings) -> None:
        _refuse_unknown(names)
        views = [VIEW_OF[name] for name in names]
        used = {FASTEST, *views}
        self.names = tuple(names)
        self.views = tuple(view for view in TILE_S if view in used)
        self.fields = [*map(field, views, names)]
        for view in self.views:
            self.fields += _view_fields(view)
        self._view_at = [self.views.index(view) for view in views]
        self._limit_us = [(TILE_S[view] + settings.stale_s) * 1e6 for view in self.views]
        self._ttl_us = settings.redis_ttl_s * 1_000_000

    def row(self, symbol: str, raw: Sequence[bytes | None], now_us: int) -> FeatureRow:
        """The feature row of one symbol, from the plan's hash fields."""
        n = len(self.names)
        times = [self._time(data, now_us) for data in raw[n::FIELDS_PER_VIEW]]
        present = [(at, time_us) for at, time_us in enumerate(times) if time_us is not None]
        warm_s = _integers(raw[n + 1 :: FIELDS_PER_VIEW], present)
        known_at_us = _integers(raw[n + 2 :: FIELDS_PER_VIEW], present)
        values = [decode_double(data) for data in raw[:n]]
        if len(present) < len(times):
            values = self._drop_absent(values, times)
        return FeatureRow(
            symbol=symbol,
            found=bool(present),
            values=values,
            missing=self._missing(values),
            event_time_us=dict(zip(self.views, times, strict=True)),
            age_s=None if times[0] is None else max(0.0, (now_us - times[0]) / 1e6),
            old_views=tuple(
                self.views[at] for at, time_us in present if now_us - time_us > self._limit_us[at]
            ),
            warm_s=min(warm_s, default=0),
            known_at_us=max(known_at_us, default=0),
        )

    def _drop_absent(
        self, values: list[float | None], times: Sequence[int | None]
    ) -> list[float | None]:
        """The values with None for those of absent views."""
        pairs = zip(values, self._view_at, strict=True)
        return [None if times[at] is None else value for value, at in pairs]

    def _missing(self, values: list[float | None]) -> tuple[str, ...]:
        if None not in values:  # faster than to look at every value
            return ()
        pairs = zip(self.names, values, strict=True)
        return tuple(name for name, value in pairs if value is None)

    def _time(self, data: bytes | None, now_us: int) -> int | None:
        """Event time of a view; None when the view is absent or older than the TTL.

        Redis expires whole symbols only.
        """
        time_us = decode_time_us(data)
        return None if time_us is None or now_us - time_us > self._ttl_us else time_us


def _refuse_unknown(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in VIEW_OF]:
        raise TickError(
            f"unknown features: {', '.join(unknown)}",
            "the model needs another version of contracts/features.py: retrain it, or serve"
            " the matching version of the code",
        )


def _view_fields(view: str) -> list[bytes]:
    return [time_field(view), *(field(view, name) for name in METADATA_NAMES)]


def _integers(raw: Sequence[bytes | None], present: Sequence[tuple[int, int]]) -> list[int]:
    """The integers of the present views; 0 where a view has none."""
    return [decode_int64(raw[at]) or 0 for at, _ in present]


class OnlineReader:
    """Reads the features `names` (default: the core set) of symbols. Close with `await close()`.

    Every method waits at most settings.feature_read_ms_max, over all its round trips, and raises
    OnlineStoreUnavailable.
    """

    def __init__(self, settings: Settings, names: Sequence[str] = CORE) -> None:
        timeout_s = settings.redis_timeout_ms / 1000
        self._deadline_s = settings.feature_read_ms_max / 1000
        self.plan = ReadPlan(names, settings)
        connection_class: type[aioredis.Connection] = (
            aioredis.SSLConnection if settings.redis_tls else aioredis.Connection
        )
        pool = aioredis.BlockingConnectionPool(
            connection_class=connection_class,
            **connections.redis(settings),
            max_connections=settings.redis_connections_max,
            timeout=timeout_s,  # type: ignore[arg-type]  # a float works, the stubs say int
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            lib_name=None,  # no CLIENT SETINFO: a new connection costs one round trip, not three
            lib_version=None,
        )
        # Any: redis-py types keys as text, ours are bytes.
        self._redis: Any = aioredis.Redis.from_pool(pool)
        self._hint = (
            f"is Redis running on {settings.redis}:{settings.redis_port}? see `tick status`"
        )

    async def read(self, symbols: Sequence[str], now_us: int) -> list[FeatureRow]:
        """One FeatureRow per symbol, in the given order, in one round trip."""
        if not symbols:
            return []
        async with self._within_deadline():
            hashes = await self._fetch(symbols)
        return [
            self.plan.row(symbol, raw, now_us) for symbol, raw in zip(symbols, hashes, strict=True)
        ]

    async def _fetch(self, symbols: Sequence[str]) -> list[list[bytes | None]]:
        if len(symbols) == 1:  # a pipeline of one command would double the cost
            return [await self._fetch_one(symbols[0])]
        async with self._redis.pipeline(transaction=False) as pipe:
            for symbol in symbols:
                pipe.hmget(entity_key(symbol), self.plan.fields)
            replies = await pipe.execute(raise_on_error=False)
        return [self._require_hash(reply) for reply in replies]

    async def _fetch_one(self, symbol: str) -> list[bytes | None]:
        try:
            reply = await self._redis.execute_command(
                "HMGET", entity_key(symbol), *self.plan.fields
            )
        except ResponseError as error:
            reply = error
        return self._require_hash(reply)

    def _require_hash(self, reply: Any) -> list[bytes | None]:
        """The fields of a symbol. A key that is not a hash has none: it must not fail the others
        of the request.
        """
        if not isinstance(reply, Exception):
            fields: list[bytes | None] = reply
            return fields
        if is_damage(reply):
            return [None] * len(self.plan.fields)
        raise reply

    async def heartbeat_ms(self) -> int | None:
        """Newest event time that the whole pipeline has processed, ms; None before the first."""
        (value,) = await self.get_values(HEARTBEAT_KEY)
        return parse_integer(value)

    async def memory_bytes(self) -> tuple[int | None, int | None]:
        """Used memory of Redis and its limit, bytes; None when Redis does not report it, or has no
        limit.
        """
        async with self._within_deadline():
            try:
                info = await self._redis.info("memory")
            except ResponseError:  # an ACL user without the command INFO
                return None, None
        return info.get("used_memory"), info.get("maxmemory") or None

    async def get_values(self, *keys: str) -> list[bytes | None]:
        """The values of keys that are not Feast's, None for absent ones."""
        async with self._within_deadline():
            values: list[bytes | None] = await self._redis.mget(keys)
        return values

    async def get_hash(self, key: str) -> dict[bytes, bytes]:
        """Fields of a hash that is not Feast's; empty when it is absent."""
        async with self._within_deadline():
            fields: dict[bytes, bytes] = await self._redis.hgetall(key)
        return fields

    async def symbols(self, count_max: int) -> list[str]:
        """The first `count_max` symbols that have a row, sorted.

        Scans the whole store: cache the result.
        """
        found: set[str | None] = set()
        async with self._within_deadline():
            async for key in self._redis.scan_iter(match=b"*" + PROJECT.encode(), count=1000):
                found.add(symbol_of(key))
        return sorted(symbol for symbol in found if symbol is not None)[:count_max]

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()

    @asynccontextmanager
    async def _within_deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            raise OnlineStoreUnavailable(
                f"the online store does not answer: {str(error) or 'too slow'}", self._hint
            ) from error
