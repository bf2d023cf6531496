"""Feature rows in the form of topic `tick_features`, with every awkward kind of value."""

import struct

from contracts.features import columns
from contracts.windows import LEVELS

NOW_US = 1_800_000_000_000_000
NOW_MS = NOW_US // 1000
LEVEL_OF = {level.view: level for level in LEVELS}
AWKWARD = (
    0.0,
    -0.0,
    None,
    1.5,
    -1e-300,
    5e-324,
    1.7976931348623157e308,
    3.141592653589793,
    None,
    42.0,
)


def feature_row(
    view: str = "tick_1s",
    symbol: str = "BINANCE:BTCUSDT",
    time_ms: int = NOW_MS,
    *,
    seed: int = 0,
    **values,
) -> dict:
    """A complete row; `seed` rotates the awkward values, `values` override columns."""
    row = {
        "view": view,
        "symbol": symbol,
        "event_time_ms": time_ms,
        "known_at_us": time_ms * 1000 + 700,
        "warm_s": 3600,
    }
    for at, column in enumerate(columns(LEVEL_OF[view])):
        row[column.name] = AWKWARD[(at + seed) % len(AWKWARD)]
    return row | values


def plain_row(
    view: str = "tick_1s",
    symbol: str = "BINANCE:BTCUSDT",
    time_ms: int = NOW_MS,
    value: float = 1.0,
) -> dict:
    """A row in which every feature is `value`."""
    return feature_row(
        view, symbol, time_ms, **{column.name: value for column in columns(LEVEL_OF[view])}
    )


def feast_double(value: float | None) -> bytes:
    """A Feast Value with a double; None is the unset Value."""
    return b"" if value is None else b"\x29" + struct.pack("<d", value)
