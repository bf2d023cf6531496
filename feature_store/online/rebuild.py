"""An emptied Redis, filled again from the lakehouse: the newest row per symbol and view, never
older over newer.

It may run beside the live writer: the guard in Redis keeps whatever is newer.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl
import redis

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.windows import LEVELS
from feature_store.online.store import Written, connect, write_rows
from lakehouse import tables
from lakehouse.schemas import GOLD, GOLD_LIVE

SLICE_US = 3_600_000_000  # an hour of rows at a time bounds the memory


def newest(settings: Settings, view: str, now_us: int) -> pl.DataFrame:
    """Newest row per symbol of one view not older than the TTL, live or backfilled; columns as
    `lakehouse.read_features`.

    Of two rows of equal time the backfilled one stays: it also knows the late ticks.
    """
    oldest_us, to_us = (
        now_us - settings.redis_ttl_s * 1_000_000,
        now_us + settings.future_row_ms_max * 1000 + 1,
    )
    found: list[pl.DataFrame] = []
    while to_us > oldest_us:
        from_us = max(oldest_us, to_us - SLICE_US)
        for table in (GOLD_LIVE, GOLD):
            frame = tables.read_features(settings, view, from_us, to_us, table=table)
            found.append(frame.unique("symbol", keep="last", maintain_order=True))
        to_us = from_us
    return (
        pl.concat(found)
        .sort("event_time_us", maintain_order=True)
        .unique("symbol", keep="last", maintain_order=True)
    )


def rows(settings: Settings, now_us: int) -> Iterator[dict[str, Any]]:
    """The newest rows of all views, in the form of topic `tick_features`."""
    for level in LEVELS:
        for row in newest(settings, level.view, now_us).iter_rows(named=True):
            yield {"view": level.view, "event_time_ms": row.pop("event_time_us") // 1000, **row}


def rebuild(settings: Settings, now_us: int) -> Written:
    """Write the newest rows of the lakehouse to Redis. Raises ServiceError when Redis does not
    answer.
    """
    client = connect(settings)
    try:
        return write_rows(client, rows(settings, now_us), settings, now_us)
    except redis.RedisError as error:
        raise ServiceError(
            f"Redis does not take the rows: {error}",
            "start it with `tick up`, then repeat: it is safe to",
        ) from error
    finally:
        client.close()
