"""A range of history cut into chunks, and what each chunk must read: its own ticks and the warm-up
before them.

A row of a chunk stands on the longest window before it, and the oldest row in that window on the
two rows before it, however far back those lie (a night, a weekend). Without them the first rows of
a chunk would differ from those of one long run.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.windows import LEVELS
from lakehouse import tables, tick_scans
from lakehouse.schemas import SILVER
from lakehouse.tick_scans import MINUTE_US

SECOND_US = 1_000_000
WINDOW_US = max(level.window_max_s for level in LEVELS) * SECOND_US
DAY_US = 86_400 * SECOND_US
UNITS_US = {"h": 3600 * SECOND_US, "d": DAY_US, "w": 7 * DAY_US}
CHUNK_TICKS, DAYS_MAX = 2_000_000, 31
LAGS = 2  # r needs the close before the window's oldest row, r1 the one before that
LOOK_BACK_US = tuple(
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
class Reach:
    """How far back a chunk reads, µs UTC: `base_us` for every symbol, and further for those with a
    gap before it.
    """

    base_us: int
    further: tuple[tuple[str, int], ...] = ()

    @property
    def first_us(self) -> int:
        """The oldest tick that is read."""
        return min((self.base_us, *(us for _, us in self.further)))


def split(from_us: int, to_us: int, chunk_us: int) -> list[Chunk]:
    """[from, to) cut at multiples of `chunk_us`, so that the same days are always the same
    chunks."""
    cuts = range((from_us // chunk_us + 1) * chunk_us, to_us, chunk_us)
    edges = [from_us, *cuts, to_us]
    return [
        Chunk(first, last) for first, last in zip(edges, edges[1:], strict=False) if first < last
    ]


def length_us(settings: Settings, text: str | None, from_us: int, to_us: int) -> int:
    """Length of a chunk as people write it: 12h, 1d, 2w; `auto` or nothing fits it to the ticks.
    Raises DatasetError.
    """
    if text is None or text == "auto":
        return suitable_us(settings, from_us, to_us)
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS_US or not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise DatasetError(f"{text!r} is no length of a chunk", "say 12h, 1d, 2w or auto")
    return int(number) * UNITS_US[unit]


def suitable_us(settings: Settings, from_us: int, to_us: int) -> int:
    """Length of a chunk, in whole days, that holds about CHUNK_TICKS of this range: each chunk
    costs a few seconds of its own.
    """
    scan = (
        tables.catalog(settings).load_table(SILVER).scan(row_filter=tables.between(from_us, to_us))
    )
    ticks = sum(task.file.record_count for task in scan.plan_files())
    days_all = max(1, -(-(to_us - from_us) // DAY_US))
    return max(1, min(DAYS_MAX, days_all * CHUNK_TICKS // max(1, ticks))) * DAY_US


def reach(settings: Settings, chunk: Chunk, symbols: Sequence[str]) -> Reach:
    """Where each symbol's warm-up begins: the window before the chunk, and `LAGS` non-empty minutes
    before that window.
    """
    window_us = (chunk.from_us - WINDOW_US) // MINUTE_US * MINUTE_US - MINUTE_US
    oldest_us = tick_scans.first_us(settings)
    left = set(symbols)
    further: dict[str, int] = {}
    for back_us in LOOK_BACK_US:
        begin_us = max(window_us - back_us, oldest_us)
        found = _lagged(
            settings, begin_us, window_us, left, enough=1 if begin_us == oldest_us else LAGS
        )
        further |= found
        left -= found.keys()
        if not left or begin_us == oldest_us:
            break
    base_us = window_us - LAGS * MINUTE_US
    return Reach(
        base_us, tuple(sorted((symbol, us) for symbol, us in further.items() if us < base_us))
    )


def _lagged(
    settings: Settings, from_us: int, to_us: int, symbols: set[str], enough: int
) -> dict[str, int]:
    """Begin of the `LAGS`-th last non-empty minute of each symbol that has `enough` of them."""
    if from_us >= to_us or not symbols:
        return {}
    minutes = tick_scans.minutes(settings, from_us, to_us, sorted(symbols))
    newest = minutes.group_by("key").agg(pl.col("minute_us").sort(descending=True).head(LAGS))
    counted = newest.filter(pl.col("minute_us").list.len() >= enough)
    return dict(counted.select("key", pl.col("minute_us").list.min()).iter_rows())


def digest(
    settings: Settings, chunk: Chunk, reach: Reach, definition: str, minutes: pl.DataFrame
) -> str:
    """Identity of everything a chunk's rows depend on: the definitions, the reach, and how many
    ticks each minute in it has.

    Silver only ever grows, so a tick that came shows by its minute; compaction, which moves ticks
    into other files, changes nothing. `minutes` are those from the chunk's window on, see
    `silver.minutes`; a rollback of silver forgets the ledger.
    """
    read = [minutes.filter(pl.col("minute_us") >= reach.base_us)]
    read += [
        tick_scans.minutes(settings, us, reach.base_us, [symbol]) for symbol, us in reach.further
    ]
    ticks = pl.concat(read).write_csv()
    return hashlib.sha256(
        "\n".join([definition, str(chunk), repr(reach), ticks]).encode()
    ).hexdigest()


def _utc(us: int) -> str:
    return (
        datetime.fromtimestamp(us / 1e6, UTC)
        .strftime("%Y-%m-%d %H:%M:%S")
        .removesuffix(" 00:00:00")
    )
