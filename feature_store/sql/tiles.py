"""The lowest levels in SQL: ticks → 1 s tiles → bars of each level, as mergeable, exact sums.

Columns: `et` is the event time of a tick (a time attribute). `sec` is the end of a tile or bar in
seconds since 1970, in a batch first called `ends`; `wt` is the same end as what orders rows in time:
a time attribute on the stream, `sec` in a batch. In the views of `windows`, `first_sec` is the end
of the symbol's first row, `known_w` the newest ingest time in the longest window. The view
`base_<view>` has the tiles or bars of a level.

A limb is one of the integers into which a double is split, largest first, as digits are: sums of
integers are exact.

On the stream Flink's TUMBLE cuts time into windows, and the watermark closes a tile. In a batch the
second is a column to group by, and the first of the keys: Flink sorts by them, and numbers compare
fastest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.tick import NOTIONAL_MAX, SIZE_MAX
from contracts.windows import LEVELS, Level

Mode = Literal["stream", "batch"]

PARTS = ("s", "v", "pv", "sv", "high", "low", "close_price", "known_at_us")
SUMS = {"v": "size", "pv": "price * size", "sv": "side * size"}
TILE_LIMBS = 3
LIMB_MAX = 1e12  # largest limb of one tick: features.TICKS_MAX of them fit 64 bits
STEPS = {"v": SIZE_MAX / LIMB_MAX, "pv": NOTIONAL_MAX / LIMB_MAX, "sv": SIZE_MAX / LIMB_MAX}
TRADE = "trade_id, price, size, side, seq, event_time_us, ingest_time_us"
# Symbol first: sorting compares the first characters of text, which most venues share.
WHO = "symbol, venue"
EVENT_S = "(event_time_us / 1000000)"
TILES = f"base_{LEVELS[0].view}"
# RAND() pins the projection: otherwise the planner computes all summands before it sorts, and sorts
# rows twice as wide.
PRICE_HERE = "price + 0e0 * RAND() AS price"
# The columns that identify a tile of a symbol.
KEYS = {"stream": "window_start, window_end, window_time", "batch": "ends"}
# TIMESTAMPDIFF returns 32 bits: from 1970 it ends in January 2038, from 2038 it covers 1970 to 2105.
# EXTRACT(EPOCH ...) returns 64 bits, but costs more per tick.
ANCHOR_S = 2_145_916_800
ANCHOR = "TIMESTAMP '2038-01-01 00:00:00'"


def epoch_s(anchor: str, time: str) -> str:
    """SQL of the seconds since 1970 of `time`; `anchor` is the start of 2038 as the same type."""
    return f"({ANCHOR_S} + CAST(TIMESTAMPDIFF(SECOND, {anchor}, {time}) AS BIGINT))"


# The second at its end, as column `sec`.
ENDS = {
    "stream": epoch_s(ANCHOR, "window_end"),
    "batch": "ends",
}
# What orders it in time, as column `wt`.
TIME = {"stream": "window_time", "batch": "ends"}


@dataclass(frozen=True, slots=True)
class SqlView:
    """A temporary view of Flink (`Level.view` is a feature view); views are created in order."""

    name: str
    select: str


def stream() -> tuple[SqlView, ...]:
    """Tiles of `windowed_ticks`, whose rows come from `tile_input`; each trade counts once.

    A tile counts its ticks and the hashes of their trade ids: as many hashes as ticks means that no
    id occurs twice. Only tiles whose counts differ are recomputed from distinct trades, from the
    ticks that the tile keeps. (A hash collision only causes a needless recomputation.)

    Both readers of `counted_tiles` name every column. Otherwise the planner prunes columns for each of
    them and computes the tiles twice.
    """
    counted = f"""SELECT {WHO}, {KEYS["stream"]}, BITMAP_BUILD_CARDINALITY_AGG(id_hash) AS n, ARRAY_AGG(tick) AS ticks, {_parts()}
  FROM {_cut("stream", "windowed_ticks", "et", 1)} GROUP BY {_group("stream", WHO)}"""
    every = " AND ".join(f"{part} IS NOT NULL" for part in PARTS)
    duplicates = f"""SELECT {WHO}, window_time AS wt, {TRADE} FROM counted_tiles CROSS JOIN UNNEST(ticks) AS t({TRADE})
  WHERE CARDINALITY(ticks) > n AND window_end IS NOT NULL AND {every}"""
    clean = f"{_tile('stream', 'counted_tiles')} WHERE CARDINALITY(ticks) = n"
    return (
        SqlView("counted_tiles", counted),
        SqlView("ticks_of_tiles_with_duplicates", duplicates),
        *_by_trade("stream", "ticks_of_tiles_with_duplicates", "wt"),
        SqlView(TILES, f"{clean} UNION ALL {_tile('stream', 'by_trade')}"),
    )


def tile_input() -> str:
    """A tick in the form that enters its tile on the stream, prepared before it is shuffled.

    `et` comes last, where Flink needs it: anywhere else Flink would copy every row once more.
    """
    return f"{WHO}, HASH_CODE(trade_id) AS id_hash, ROW({TRADE}) AS tick, {_summands()}, et"


def batch(*, duplicates: bool) -> tuple[SqlView, ...]:
    """Tiles of `windowed_ticks`; where `duplicates` are possible, ticks are first grouped by trade.

    Without duplicates a tick is sorted as stored in silver, and becomes summands afterwards.
    """
    if duplicates:
        return (
            *_by_trade("batch", "windowed_ticks", EVENT_S),
            SqlView(TILES, _tile("batch", "by_trade")),
        )
    raw = (
        f"(SELECT {WHO}, {PRICE_HERE}, size, side, seq, event_time_us, ingest_time_us FROM"
        " windowed_ticks)"
    )
    every_tick = _tile_trades("batch", _cut("batch", raw, EVENT_S, 1))
    return SqlView("tiles_of_ticks", every_tick), SqlView(TILES, _tile("batch", "tiles_of_ticks"))


def bars(mode: Mode, lower: Level, level: Level) -> SqlView:
    """Bars of `level.tile_s` seconds, each merged from the level below."""
    sums = ", ".join(
        f"{_exact_sum(_three_limbs(name, STEPS[name]), STEPS[name])} AS {name}" for name in SUMS
    )
    close = "SUBSTRING(MAX(LPAD(CAST(sec AS STRING), 11, '0') || CAST(close_price AS STRING)), 12)"
    time = "wt" if mode == "stream" else "(sec - 1)"
    select = f"""SELECT symbol, {ENDS[mode]} AS sec, {TIME[mode]} AS wt, SUM(n) AS n, SUM(s) AS s,
    {sums}, MAX(high) AS high, MIN(low) AS low, CAST({close} AS DOUBLE) AS close_price,
    MAX(known_at_us) AS known_at_us
  FROM {_cut(mode, f"base_{lower.view}", time, level.tile_s)} GROUP BY {_group(mode, "symbol")}"""
    return SqlView(f"base_{level.view}", select)


def _by_trade(mode: Mode, source: str, time: str) -> tuple[SqlView, SqlView]:
    """Tiles of `source` by way of its distinct trades.

    Where duplicates contradict each other, the largest value of each field counts, except the ingest
    time (the earliest); a size is reduced where price × size would exceed the largest notional.
    """
    most = f"{NOTIONAL_MAX:.0e}"
    too_much = f"MAX(price) * MAX(size) > {most}"
    size = f"CASE WHEN {too_much} THEN {most} / MAX(price) ELSE MAX(size) END"
    trades = f"""SELECT {WHO}, trade_id, {KEYS[mode]}, MAX(price) AS price, {size} AS size,
    MAX(side) AS side, MAX(seq) AS seq, MAX(event_time_us) AS event_time_us, MIN(ingest_time_us) AS ingest_time_us
  FROM {_cut(mode, source, time, 1)} GROUP BY {_group(mode, WHO)}, trade_id"""
    return SqlView("trades", trades), SqlView("by_trade", _tile_trades(mode, "trades"))


def _tile_trades(mode: Mode, source: str) -> str:
    """Tiles from rows that are one trade each, with the keys of their tile."""
    summands = f"SELECT {WHO}, {KEYS[mode]}, {_summands()} FROM {source}"
    return (
        f"SELECT {WHO}, {KEYS[mode]}, COUNT(*) AS n, {_parts()} FROM ({summands}) GROUP BY"
        f" {_group(mode, WHO)}"
    )


def _cut(mode: Mode, source: str, time: str, seconds: int) -> str:
    """`source` with the keys of its tile of `seconds`.

    `time` is a time attribute, or in a batch a number of whole seconds.
    """
    if mode == "stream":
        return (
            f"TUMBLE(TABLE {source}, DESCRIPTOR({time}), INTERVAL '{seconds}'"
            f" SECOND({len(str(seconds))}))"
        )
    return f"(SELECT *, ({time} / {seconds} + 1) * {seconds} AS ends FROM {source})"


def _group(mode: Mode, who: str) -> str:
    return f"{who}, {KEYS[mode]}" if mode == "stream" else f"{KEYS[mode]}, {who}"


def _tile(mode: Mode, source: str) -> str:
    return (
        f"SELECT venue || ':' || symbol AS symbol, {ENDS[mode]} AS sec, {TIME[mode]} AS wt, n,"
        f" {', '.join(PARTS)} FROM {source}"
    )


def _summands() -> str:
    """The summands of one tick.

    Time and seq are packed before the price as fixed-length digits, so that MAX finds the close.
    """
    digits = (
        "10000000 + 10 * MOD(event_time_us, 1000000) + seq / 1000000000000000000",
        "1000000000000000000 + MOD(seq, 1000000000000000000)",
    )
    packed = ", ".join(
        f"CAST({number} AS STRING)" for number in (*digits, "price")
    )  # cheaper than LPAD, once per tick
    sums = ", ".join(
        f"{limb} AS {name}_{i}"
        for name, of in SUMS.items()
        for i, limb in enumerate(_three_limbs(of, STEPS[name]))
    )
    return (
        f"CAST(side AS BIGINT) AS signed, {sums}, price, CONCAT({packed}) AS packed, ingest_time_us"
    )


def _parts() -> str:
    """The parts of a tile, aggregated from its summands."""
    sums = ", ".join(
        f"{_exact_sum([f'{name}_{i}' for i in range(TILE_LIMBS)], STEPS[name])} AS {name}"
        for name in SUMS
    )
    return f"""SUM(signed) AS s, {sums}, MAX(price) AS high, MIN(price) AS low,
    CAST(SUBSTRING(MAX(packed), 28) AS DOUBLE) AS close_price, MAX(ingest_time_us) AS known_at_us"""


def _three_limbs(expression: str, step: float) -> list[str]:
    """A double as three integers; a window of `windows` needs two.

    They are multiples of `step`, of 1e-12 and of 1e-24 of it.
    """
    scaled, limbs = f"({expression}) * {1 / step:.0e}", []
    for _ in range(TILE_LIMBS):
        limbs.append(f"CAST({scaled} AS BIGINT)")
        scaled = f"(({scaled} - CAST({scaled} AS BIGINT)) * {LIMB_MAX:.0e})"
    return limbs


def _exact_sum(limbs: Sequence[str], step: float) -> str:
    """A sum of doubles that does not depend on the order of its terms."""
    hi, mid, lo = (f"CAST(SUM({limb}) AS DOUBLE)" for limb in limbs)
    return f"({hi} + {mid} * {1 / LIMB_MAX:.0e} + {lo} * {LIMB_MAX**-2:.0e}) * {step:.0e}"
