"""Refills an empty Redis from the lakehouse with the newest row per symbol and view.

It may run alongside the live writer: the guard in Redis keeps the newer row.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl
import redis

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from contracts.windows import LEVELS
from feature_store.backfill import closed_bars
from feature_store.online.store import WriteCounts, connect, write_rows
from lakehouse.schemas import GOLD, GOLD_LIVE
from lakehouse.tables import Lakehouse

SLICE_US = 3_600_000_000  # an hour of rows at a time bounds the memory


def newest_rows(settings: Settings, view: str, now_us: int) -> pl.DataFrame:
    """Newest row per symbol of one view within the TTL, live or backfilled.

    Columns as in `Lakehouse.read_features`. Of two rows with equal time the one that was known
    later is kept, hence the backfilled one if it includes late ticks, but not one that was computed
    before its bar was closed. Backfilled rows of bars that are still open are ignored.
    """
    closed_to_us = closed_bars.closed_us(settings, now_us) + 1
    oldest_us = now_us - settings.redis_ttl_s * 1_000_000
    to_us = now_us + settings.future_row_ms_max * 1000 + 1
    slices: list[pl.DataFrame] = []
    while to_us > oldest_us:
        from_us = max(oldest_us, to_us - SLICE_US)
        for table, end_us in ((GOLD_LIVE, to_us), (GOLD, min(to_us, closed_to_us))):
            frame = Lakehouse(settings).read_features(view, from_us, end_us, table=table)
            slices.append(frame.unique("symbol", keep="last", maintain_order=True))
        to_us = from_us
    return (
        pl.concat(slices)
        .sort("event_time_us", "known_at_us", maintain_order=True)
        .unique("symbol", keep="last", maintain_order=True)
    )


def rows(settings: Settings, now_us: int) -> Iterator[dict[str, Any]]:
    """The newest rows of all views, in the form of topic `tick_features`."""
    for level in LEVELS:
        for row in newest_rows(settings, level.view, now_us).iter_rows(named=True):
            yield {"view": level.view, "event_time_ms": row.pop("event_time_us") // 1000, **row}


def rebuild(settings: Settings, now_us: int) -> WriteCounts:
    """Write the newest rows of the lakehouse to Redis. Raises ServiceError when Redis fails."""
    client = connect(settings)
    try:
        return write_rows(client, rows(settings, now_us), settings, now_us)
    except redis.RedisError as error:
        raise ServiceError(
            f"cannot write rows to Redis: {error}",
            "start it with `tick up` and run the command again; repeating is safe",
        ) from error
    finally:
        client.close()
