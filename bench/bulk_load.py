"""How fast history gets into silver without the stream: `tick load` of a Parquet file, and beside
it polars copying the same file.
"""

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bench.figures import BenchError, Figure
from bench.load import Chunk
from bench.machine import Spent, spent
from contracts.config.settings import Settings
from lakehouse import tables
from streaming.bulk_load.load import LoadReport, load
from streaming.feeds import canonical, open_feed

AIM_PER_S = 500_000
TICKS = 5_000_000
PER_TILE, SYMBOLS = 50, 20
DAYS = 10
DAY_US = 86_400_000_000
START_US = 19_800 * DAY_US
NOW_US = START_US + 400 * DAY_US
MIB = 1024


def measure(scale: float = 1.0) -> list[Figure]:
    """Ticks per CPU second of loading a file of ten days, of loading it again, and of polars
    scanning it into another Parquet file.
    """
    with tempfile.TemporaryDirectory(prefix="tick-bench-") as folder:
        home, file = Path(folder), Path(folder) / "ticks.parquet"
        ticks = canonical.write(file, _frames(int(TICKS * scale)))
        _loaded(home / "first", file, ticks // 100)  # imports and thread pools
        first = _loaded(home / "lake", file, ticks)
        again = _loaded(home / "lake", file, 0)
        text = _loaded(home / "text", _as_csv(file), ticks)
        with spent() as copied:
            pl.scan_parquet(file).sink_parquet(home / "copy.parquet", compression="zstd")
        appended = _appended(home / "append", file)
        return _figures(ticks, first, again, text, copied, appended)


def _frames(ticks: int) -> Iterator[pl.DataFrame]:
    """Ten days, each with a busy stretch from midnight on."""
    seconds = max(1, ticks // (DAYS * PER_TILE * SYMBOLS))
    for day in range(DAYS):
        yield from Chunk(START_US + day * DAY_US, seconds, PER_TILE, SYMBOLS).frames()


def _loaded(home: Path, file: Path, least: int) -> Spent:
    with spent() as took:
        done: LoadReport = load(Settings(home=home), open_feed([file]), NOW_US)
    if done.loaded < least or done.read != done.loaded + done.already:
        raise BenchError(
            f"only {done.loaded:,} of {least:,} ticks were loaded", "run the tests of the bulk load"
        )
    return took


def _appended(home: Path, file: Path) -> Spent:
    """What PyIceberg alone takes to append the same ticks, read already, a million at a time."""
    settings = Settings(home=home)
    tables.create(settings)
    took = Spent()
    for start in range(
        0, pl.scan_parquet(file).select(pl.len()).collect().item(), settings.load_commit_rows
    ):
        frame = pl.scan_parquet(file).slice(start, settings.load_commit_rows).collect()
        with spent() as part:
            tables.append_ticks(settings, frame)
        took.cpu_s += part.cpu_s
        took.wall_s += part.wall_s
    return took


def _as_csv(file: Path) -> Path:
    """The same ticks as canonical CSV."""
    made = file.with_suffix(".csv")
    pl.scan_parquet(file).select(pl.all().exclude("bid", "ask", "bid_size", "ask_size")).sink_csv(
        made
    )
    return made


def _figures(
    ticks: int, first: Spent, again: Spent, text: Spent, copied: Spent, appended: Spent
) -> list[Figure]:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    said = (
        f"{ticks:,} ticks of {SYMBOLS} symbols and {DAYS} days; peak memory of the whole bench"
        f" {peak_mib:,.0f} MiB"
    )
    return [
        Figure("bulk load, CPU", ticks / first.cpu_s, "ticks/s CPU", at_least=AIM_PER_S, note=said),
        Figure("bulk load, by the clock", ticks / first.wall_s, "ticks/s"),
        Figure(
            "the same file again, CPU",
            ticks / again.cpu_s,
            "ticks/s CPU",
            note="nothing is added: every id is looked up in silver",
        ),
        Figure(
            "the same ticks from CSV, CPU", ticks / text.cpu_s, "ticks/s CPU", note="canonical CSV"
        ),
        Figure(
            "bare append of PyIceberg, CPU",
            ticks / appended.cpu_s,
            "ticks/s CPU",
            note="ticks read already; not judged, no ids looked up",
        ),
        Figure(
            "polars scan and sink, CPU",
            ticks / copied.cpu_s,
            "ticks/s CPU",
            note="the same file into another Parquet file, zstd",
        ),
        Figure(
            "CPU of a load / scan and sink",
            first.cpu_s / copied.cpu_s,
            "×",
            note="judging, looking up, sorting, committing beside it",
        ),
    ]
