"""Feature rows as the live job publishes them: all columns, full precision, some nulls."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from contracts.features import columns
from contracts.windows import LEVELS, Level

NULL_SHARE = 0.02
VENUE = "BENCH"


def symbols(count: int) -> list[str]:
    """Names in the form VENUE:SYMBOL."""
    return [f"{VENUE}:S{number:04}" for number in range(count)]


def stream(names: list[str], seconds: int, start_ms: int) -> Iterator[dict[str, Any]]:
    """Rows by event time: every second a tile row per symbol, and the bars that end then.

    `start_ms` must be a whole minute.
    """
    rng = np.random.default_rng(7)
    for second in range(1, seconds + 1):
        for level in LEVELS:
            if second % level.tile_s == 0:
                yield from (row(level, name, start_ms + second * 1000, rng) for name in names)


def row(level: Level, symbol: str, time_ms: int, rng: np.random.Generator) -> dict[str, Any]:
    """One row of topic `tick_features`."""
    names = [column.name for column in columns(level)]
    values: list[float | None] = rng.lognormal(-5, 3, len(names)).tolist()
    if rng.random() < NULL_SHARE * len(names):
        values[int(rng.integers(len(names)))] = None
    head = {
        "view": level.view,
        "symbol": symbol,
        "event_time_ms": time_ms,
        "known_at_us": time_ms * 1000 - 700,
        "warm_s": 3600,
    }
    return head | dict(zip(names, values, strict=True))
