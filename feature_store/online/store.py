"""Writes feature rows to Redis in Feast's layout, guarded: a stored newer row is never replaced.

A row of equal event time replaces the stored one, so that a backfilled row, which includes late
ticks, replaces the live one (`tick online rebuild`); Feast itself would drop it. A stored time
beyond the future bound does not guard: a row written by a broken clock must not freeze its symbol.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from contracts import redis_keys
from contracts.config import connections
from contracts.config.groups.redis import RedisSettings
from contracts.features import columns
from contracts.tick import NAME_CHARS_MAX
from contracts.windows import LEVELS, Level
from feature_store.online import redis_layout
from feature_store.online.symbol_limit import SymbolLimit
from feature_store.online.write_errors import is_damage

SYMBOL_CHARS_MAX = 2 * NAME_CHARS_MAX + 1
LONG_MAX = 2**63 - 1
# Redis' Lua keeps every argument of a call in a register, and a function has 250 of them.
FIELDS_PER_CALL_MAX = 50
# A row's values are sent as one MessagePack array of feast Values, which Lua unpacks in a single
# call (half the CPU of one argument per value). Replacing the NaN pattern is safe: a record is as
# long as the pattern, so a match that is not aligned would include the next record's header, and
# those bytes are not part of a NaN.
_VALUE = b"\xa9\x29"
_VALUE_NAN = _VALUE + struct.pack("<d", math.nan)
_VALUE_NULL = b"\xa0"


class Row(NamedTuple):
    """One encoded row: `values` has the view's columns in contract order, for its Lua script."""

    symbol: str
    view: str
    event_time_ms: int
    values: bytes
    warm_s: bytes
    known_at_us: bytes


class MalformedRowError(ValueError):
    """A message is not a valid feature row."""


@dataclass(slots=True)
class WriteCounts:
    """Counts of a write by outcome; `times_ms`: event times of written rows; `done_ms`: its end.

    `damage` describes one of the `damaged` rows, for the log.
    """

    times_ms: list[int] = field(default_factory=list)
    older: int = 0
    future: int = 0
    malformed: int = 0
    damaged: int = 0  # what Redis stores under their key cannot be read or replaced
    over_limit: int = 0  # new symbols beyond `online_symbols_max`
    damage: str = ""
    done_ms: int = 0

    @property
    def written(self) -> int:
        """Number of written rows."""
        return len(self.times_ms)

    def add(self, other: "WriteCounts") -> None:
        """Add the counts of a later write."""
        self.times_ms += other.times_ms
        for name in ("older", "future", "malformed", "damaged", "over_limit"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.damage = other.damage or self.damage


def connect(settings: RedisSettings) -> redis.Redis:
    """A client for writing: explicit timeouts, no retries (the caller retries the whole batch)."""
    timeout_s = settings.writer_timeout_ms / 1000
    return redis.Redis(
        **connections.redis(settings),
        ssl=settings.redis_tls,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def _clean(value: Any) -> float:
    """A feature as a float; null, NaN and infinities become NaN, which is null online.

    Text and other types are malformed.
    """
    if value is None:
        return math.nan
    if type(value) not in (float, int):
        raise MalformedRowError(f"a feature is {type(value).__name__}")
    number = float(value)
    return number if math.isfinite(number) else math.nan


def _encoder(level: Level) -> Callable[[Mapping[str, Any]], bytes]:
    names = tuple(column.name for column in columns(level))
    pick, pack = itemgetter(*names), struct.Struct("<" + "2sd" * len(names)).pack
    head = b"\xdc" + struct.pack(">H", len(names))

    def record(values: Sequence[float]) -> bytes:
        arguments: list[Any] = [_VALUE] * (2 * len(names))
        arguments[1::2] = values
        return head + pack(*arguments)

    def encode(row: Mapping[str, Any]) -> bytes:
        try:
            values = pick(row)
            if math.isfinite(sum(values)):
                return record(values)
        except (KeyError, TypeError, OverflowError):
            # A null, a missing column (as null) or a wrong type: the slow path below decides.
            pass
        return record([_clean(row.get(name)) for name in names]).replace(_VALUE_NAN, _VALUE_NULL)

    return encode


ENCODERS = {level.view: _encoder(level) for level in LEVELS}


def _integer(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if type(value) is not int or not 0 <= value <= LONG_MAX:
        raise MalformedRowError(f"{name} is {value!r}")
    return value


def encode_row(row: Mapping[str, Any]) -> Row:
    """Encode a feature row: `view`, `symbol`, `event_time_ms`, `known_at_us`, `warm_s`, features.

    Raises MalformedRowError.
    """
    view, symbol = row.get("view"), row.get("symbol")
    encoder = ENCODERS.get(view) if isinstance(view, str) else None
    if encoder is None:
        raise MalformedRowError(f"view is {view!r}")
    if not isinstance(symbol, str) or not 0 < len(symbol) <= SYMBOL_CHARS_MAX:
        raise MalformedRowError(f"symbol is {symbol!r}")
    try:
        values = encoder(row)
    except OverflowError as error:
        raise MalformedRowError("a feature is beyond double precision") from error
    warm_s = redis_layout.encode_int64(_integer(row, "warm_s"))
    known_at_us = redis_layout.encode_int64(_integer(row, "known_at_us"))
    return Row(symbol, str(view), _integer(row, "event_time_ms"), values, warm_s, known_at_us)


def _literal(data: bytes) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in data) + "'"


def script(level: Level) -> str:
    """The guarded write of one view in Lua.

    KEYS: entity. ARGV: time, values, warm_s, known_at_us, TTL s, future bound s.
    """
    pairs = _assignments(level)
    cuts = range(0, len(pairs), FIELDS_PER_CALL_MAX)
    calls = [
        f"redis.call('HSET', KEYS[1], {', '.join(pairs[at : at + FIELDS_PER_CALL_MAX])})"
        for at in cuts
    ]
    time_field = _literal(redis_layout.time_field(level.view))
    return _GUARD.format(time_field=time_field, calls="\n".join(calls))


def _assignments(level: Level) -> list[str]:
    """Per field of a view: the field and its value, as arguments of HSET."""
    view, names = level.view, [column.name for column in columns(level)]
    pairs = [
        f"{_literal(redis_layout.field(view, name))}, v[{i + 1}]" for i, name in enumerate(names)
    ]
    pairs += [
        f"{_literal(redis_layout.field(view, name))}, ARGV[{3 + i}]"
        for i, name in enumerate(redis_layout.METADATA_NAMES)
    ]
    pairs.append(f"{_literal(redis_layout.time_field(view))}, ARGV[1]")
    return pairs


_GUARD = """\
local function parts(t)
  local p, at, n = {{0, 0}}, 1, #t
  while at <= n do
    local which, value, scale, byte = (string.byte(t, at) - 8) / 8 + 1, 0, 1
    repeat
      at = at + 1
      byte = string.byte(t, at)
      value = value + byte % 128 * scale
      scale = scale * 128
    until byte < 128
    p[which] = value
    at = at + 1
  end
  return p[1], p[2]
end
local stored = redis.call('HGET', KEYS[1], {time_field})
if stored and stored ~= ARGV[1] then
  local s, n = parts(stored)
  local s1, n1 = parts(ARGV[1])
  if (s > s1 or s == s1 and n > n1) and s <= tonumber(ARGV[6]) then return 0 end
end
local v = cmsgpack.unpack(ARGV[2])
{calls}
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
"""

_HEARTBEAT = """\
local stored = redis.pcall('GET', KEYS[1])
stored = type(stored) == 'string' and tonumber(stored)
local time, bound = tonumber(ARGV[1]), tonumber(ARGV[2])
if stored and stored >= time and stored <= bound then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class OnlineTable:
    """The online rows in Redis, for writing: one pipeline of guarded scripts per call."""

    def __init__(self, client: redis.Redis, settings: RedisSettings) -> None:
        self._client = client
        self._ttl_s = settings.redis_ttl_s
        self._future_ms = settings.future_row_ms_max
        self._scripts = {level.view: client.register_script(script(level)) for level in LEVELS}
        self._heartbeat = client.register_script(_HEARTBEAT)
        self._limit = SymbolLimit(client, settings.online_symbols_max)

    def write(self, rows: Iterable[Row], now_ms: int, heartbeat_ms: int = 0) -> WriteCounts:
        """Write rows and heartbeat; repeating a write is safe.

        A row whose key is damaged is counted and skipped: it would fail at every attempt. Raises
        redis.RedisError when Redis cannot write: then any part of it may have been written.
        """
        bound_ms = now_ms + self._future_ms
        candidates = list(rows)
        in_time = [row for row in candidates if row.event_time_ms <= bound_ms]
        accepted = self._limit.admit(in_time)
        beat_ms = heartbeat_ms if heartbeat_ms <= bound_ms else 0
        replies = self._send(accepted, bound_ms, beat_ms)  # without commands no round trip
        counts = _count_replies(accepted, replies)
        counts.future = len(candidates) - len(in_time)
        counts.over_limit = len(in_time) - len(accepted)
        return counts

    def _send(self, rows: list[Row], bound_ms: int, heartbeat_ms: int) -> list[Any]:
        replies = self._pipeline(rows, bound_ms, heartbeat_ms)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # Redis was restarted, which drops loaded scripts.
            for registered in (*self._scripts.values(), self._heartbeat):
                self._client.script_load(registered.script)
            replies = self._pipeline(rows, bound_ms, heartbeat_ms)
        return replies

    def _pipeline(self, rows: list[Row], bound_ms: int, heartbeat_ms: int) -> list[Any]:
        """One reply per row and one for the heartbeat: an integer, or the error of its script."""
        bound_s = bound_ms // 1000
        sha = {view: registered.sha for view, registered in self._scripts.items()}
        pipe: Any  # redis-py types every script argument as text
        with self._client.pipeline(transaction=False) as pipe:
            for symbol, view, time_ms, values, warm_s, known_at_us in rows:
                key, time = redis_layout.entity_key(symbol), redis_layout.encode_time_ms(time_ms)
                pipe.evalsha(
                    sha[view], 1, key, time, values, warm_s, known_at_us, self._ttl_s, bound_s
                )
            if heartbeat_ms:
                pipe.evalsha(
                    self._heartbeat.sha, 1, redis_keys.HEARTBEAT_KEY, heartbeat_ms, bound_ms
                )
            # An error that is raised would have all bytes of its command in its text.
            replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies


def _count_replies(rows: Sequence[Row], replies: Sequence[Any]) -> WriteCounts:
    """The outcome of each row. Raises the error of a reply that is not damage of one key."""
    of_rows = zip(rows, replies, strict=False)  # the heartbeat has the last reply
    counts = WriteCounts([row.event_time_ms for row, reply in of_rows if reply == 1])
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            if at == len(rows) or not is_damage(reply):
                raise reply
            counts.damaged += 1
            counts.damage = f"{rows[at].symbol} {rows[at].view}: {str(reply)[:200]}"
    counts.older = len(rows) - counts.written - counts.damaged
    return counts


def write_rows(
    client: redis.Redis, rows: Iterable[Mapping[str, Any]], settings: RedisSettings, now_us: int
) -> WriteCounts:
    """Write feature rows (as in topic `tick_features`) in batches, never older over newer.

    Raises redis.RedisError.
    """
    table, total = OnlineTable(client, settings), WriteCounts()
    batch: list[Row] = []

    def flush() -> None:
        total.add(table.write(batch, now_us // 1000))
        batch.clear()

    for row in rows:
        try:
            batch.append(encode_row(row))
        except MalformedRowError:
            total.malformed += 1
        if len(batch) >= settings.writer_batch_rows:
            flush()
    flush()
    return total
