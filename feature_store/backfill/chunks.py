"""Splits a range of history into chunks and computes the lookback of each: the ticks it must read.

The rows of a chunk depend on the longest window before it, and the oldest row in that window on the
two rows before it, however far back they are (a night, a weekend). Without them the first rows of a
chunk would differ from those of one long run.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from contracts.errors import DatasetError
from contracts.units import DAY_US, MINUTE_US, SECOND_US
from contracts.windows import LEVELS
from lakehouse import tables, tick_scans
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse

WINDOW_US = max(level.window_max_s for level in LEVELS) * SECOND_US
UNITS_US = {"h": 3600 * SECOND_US, "d": DAY_US, "w": 7 * DAY_US}
CHUNK_TICKS, DAYS_MAX = 2_000_000, 31
LAGS = 2  # r needs the close before the window's oldest row, r1 the close before that one
SEARCH_STEPS_US = tuple(
    int(hours * 3600 * SECOND_US) for hours in (0.1, 1, 24, 24 * 7, 24 * 31, 24 * 366)
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows with their end in [from, to), µs UTC."""

    from_us: int
    to_us: int

    def __str__(self) -> str:
        return f"{_utc(self.from_us)} – {_utc(self.to_us)}"


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a chunk reads, µs UTC: `base_us` for every symbol.

    `further` is the earlier begin of symbols that have a gap before it.
    """

    base_us: int
    further: tuple[tuple[str, int], ...] = ()

    @property
    def first_us(self) -> int:
        """Time of the oldest tick that is read."""
        return min((self.base_us, *(us for _, us in self.further)))


def split(from_us: int, to_us: int, chunk_us: int) -> list[Chunk]:
    """Cut [from, to) at multiples of `chunk_us`: the same days always form the same chunks."""
    cuts = range((from_us // chunk_us + 1) * chunk_us, to_us, chunk_us)
    edges = [from_us, *cuts, to_us]
    return [
        Chunk(first, last) for first, last in zip(edges, edges[1:], strict=False) if first < last
    ]


def length_us(lake: Lakehouse, text: str | None, from_us: int, to_us: int) -> int:
    """Chunk length from text: 12h, 1d, 2w; `auto` or None fits it to the number of ticks.

    Raises DatasetError for other text.
    """
    if text is None or text == "auto":
        return suitable_us(lake, from_us, to_us)
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS_US or not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise DatasetError(f"{text!r} is not a chunk length", "use --chunk 12h, 1d, 2w or auto")
    return int(number) * UNITS_US[unit]


def suitable_us(lake: Lakehouse, from_us: int, to_us: int) -> int:
    """Chunk length, in whole days, for about CHUNK_TICKS ticks: each chunk has a fixed cost."""
    scan = lake.table(SILVER).scan(row_filter=tables.between(from_us, to_us))
    ticks = sum(task.file.record_count for task in scan.plan_files())
    days_all = max(1, -(-(to_us - from_us) // DAY_US))
    return max(1, min(DAYS_MAX, days_all * CHUNK_TICKS // max(1, ticks))) * DAY_US


def lookback(lake: Lakehouse, chunk: Chunk, symbols: Sequence[str]) -> Lookback:
    """The lookback of a chunk: the longest window, then `LAGS` non-empty minutes per symbol."""
    window_us = (chunk.from_us - WINDOW_US) // MINUTE_US * MINUTE_US - MINUTE_US
    oldest_us = tick_scans.first_us(lake)
    remaining = set(symbols)
    further: dict[str, int] = {}
    for back_us in SEARCH_STEPS_US:
        begin_us = max(window_us - back_us, oldest_us)
        begins_us = _lag_begins_us(
            lake, begin_us, window_us, remaining, count_min=1 if begin_us == oldest_us else LAGS
        )
        further |= begins_us
        remaining -= begins_us.keys()
        if not remaining or begin_us == oldest_us:
            break
    base_us = window_us - LAGS * MINUTE_US
    return Lookback(
        base_us, tuple(sorted((symbol, us) for symbol, us in further.items() if us < base_us))
    )


def _lag_begins_us(
    lake: Lakehouse, from_us: int, to_us: int, symbols: set[str], count_min: int
) -> dict[str, int]:
    """Begin of the `LAGS`-th last non-empty minute, of symbols with `count_min` such minutes."""
    if from_us >= to_us or not symbols:
        return {}
    minutes = tick_scans.minutes(lake, from_us, to_us, sorted(symbols))
    newest = minutes.group_by("key").agg(pl.col("minute_us").sort(descending=True).head(LAGS))
    complete = newest.filter(pl.col("minute_us").list.len() >= count_min)
    return dict(complete.select("key", pl.col("minute_us").list.min()).iter_rows())


def digest(
    lake: Lakehouse, chunk: Chunk, lookback: Lookback, definition: str, minutes: pl.DataFrame
) -> str:
    """Digest of everything that a chunk's rows depend on.

    These are the definitions, the lookback, and the number of ticks in each minute of it. Silver
    only grows, so a new tick changes the count of its minute; compaction, which moves ticks into
    other files, changes nothing. `minutes` are those from the chunk's window on, see
    `tick_scans.minutes`. A rollback of silver clears the ledger.
    """
    counts = [minutes.filter(pl.col("minute_us") >= lookback.base_us)]
    counts += [
        tick_scans.minutes(lake, us, lookback.base_us, [symbol]) for symbol, us in lookback.further
    ]
    ticks = pl.concat(counts).write_csv()
    # Part of every ledger: another spelling would make all chunks of existing lakehouses due again.
    begins = f"Reach(base_us={lookback.base_us!r}, further={lookback.further!r})"
    return hashlib.sha256("\n".join([definition, str(chunk), begins, ticks]).encode()).hexdigest()


def _utc(us: int) -> str:
    return (
        datetime.fromtimestamp(us / 1e6, UTC)
        .strftime("%Y-%m-%d %H:%M:%S")
        .removesuffix(" 00:00:00")
    )
