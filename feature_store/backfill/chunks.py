"""Splits a range of history into chunks and computes the lookback of each: the ticks it must read.

The rows of a chunk depend on the longest window before it, and the oldest row in that window on the
two rows before it, however far back they are (a night, a weekend). Without them the first rows of a
chunk would differ from those of one long run.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, starmap

import polars as pl

from contracts.durations import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from contracts.errors import DatasetError
from contracts.windows import LEVELS
from lakehouse import tables, tick_scans
from lakehouse.schemas import SILVER
from lakehouse.tables import Lakehouse

WINDOW_US = max(level.window_max_s for level in LEVELS) * SECOND_US
UNITS_US = {"h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}
LENGTH = r"(?P<number>0*[1-9][0-9]*)(?P<unit>[hdw])"
CHUNK_TICKS, DAYS_MAX = 2_000_000, 31
LAGS = 2  # r needs the close before the window's oldest row, r1 the close before that one
# How far back to search for the minutes before the window, one step after the other.
SEARCH_STEPS_US = (6 * MINUTE_US, HOUR_US, DAY_US, 7 * DAY_US, 31 * DAY_US, 366 * DAY_US)


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
    """Split [from, to) at multiples of `chunk_us`: the same days always form the same chunks.

    An empty range has no chunk.
    """
    if from_us >= to_us:
        return []
    inner = range((from_us // chunk_us + 1) * chunk_us, to_us, chunk_us)
    return list(starmap(Chunk, pairwise([from_us, *inner, to_us])))


def length_us(lake: Lakehouse, text: str | None, from_us: int, to_us: int) -> int:
    """Chunk length from text: 12h, 1d, 2w; `auto` or None fits it to the number of ticks.

    Raises DatasetError for other text.
    """
    if text in (None, "auto"):
        return fit_us(lake, from_us, to_us)
    length = re.fullmatch(LENGTH, text)
    if length is None:
        raise DatasetError(f"{text!r} is not a chunk length", "use --chunk 12h, 1d, 2w or auto")
    return int(length["number"]) * UNITS_US[length["unit"]]


def fit_us(lake: Lakehouse, from_us: int, to_us: int) -> int:
    """Chunk length, in whole days, for about CHUNK_TICKS ticks: each chunk has a fixed cost."""
    scan = lake.table(SILVER).scan(row_filter=tables.between(from_us, to_us))
    ticks = sum(task.file.record_count for task in scan.plan_files())
    days_all = max(1, -(-(to_us - from_us) // DAY_US))
    return max(1, min(DAYS_MAX, days_all * CHUNK_TICKS // max(1, ticks))) * DAY_US


def lookback(lake: Lakehouse, chunk: Chunk, symbols: Sequence[str]) -> Lookback:
    """The lookback of a chunk: the longest window, then `LAGS` non-empty minutes per symbol."""
    window_us = (chunk.from_us - WINDOW_US) // MINUTE_US * MINUTE_US - MINUTE_US
    base_us = window_us - LAGS * MINUTE_US
    begins_us = _search_back(lake, window_us, symbols)
    further = sorted((symbol, us) for symbol, us in begins_us.items() if us < base_us)
    return Lookback(base_us, tuple(further))


def _search_back(lake: Lakehouse, window_us: int, symbols: Sequence[str]) -> dict[str, int]:
    """Begin of the `LAGS`-th last non-empty minute before the window, by symbol.

    Where history begins, one minute is enough. A symbol without ticks there is left out.
    """
    oldest_us = tick_scans.first_us(lake)
    remaining = set(symbols)
    found: dict[str, int] = {}
    for from_us in sorted({max(window_us - step, oldest_us) for step in SEARCH_STEPS_US})[::-1]:
        minutes_min = LAGS if from_us > oldest_us else 1
        begins_us = _lag_begins_us(lake, from_us, window_us, remaining, minutes_min)
        found |= begins_us
        remaining -= begins_us.keys()
    return found


def _lag_begins_us(
    lake: Lakehouse, from_us: int, to_us: int, symbols: set[str], minutes_min: int
) -> dict[str, int]:
    """Begin of the `LAGS`-th last non-empty minute, of symbols with `minutes_min` of them."""
    if from_us >= to_us or not symbols:
        return {}
    minutes = tick_scans.minutes(lake, from_us, to_us, sorted(symbols))
    newest = minutes.group_by("key").agg(pl.col("minute_us").sort(descending=True).head(LAGS))
    complete = newest.filter(pl.col("minute_us").list.len() >= minutes_min)
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
