"""Throughput of `tick load` from a Parquet file, compared with polars copying the same file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from bench.cost.process import Cost, measure_cost, peak_memory_mib
from bench.errors import BenchError
from bench.load.ticks import Chunk
from bench.report.figures import Figure
from contracts.config.settings import Settings
from contracts.durations import DAY_US
from lakehouse.tables import Lakehouse
from streaming.bulk_load.load import LoadReport, load
from streaming.feeds import open_feed
from streaming.feeds.formats import canonical

AIM_PER_S = 500_000
TICKS = 5_000_000
PER_TILE, SYMBOLS = 50, 20
DAYS = 10
START_US = 19_800 * DAY_US
NOW_US = START_US + 400 * DAY_US


def measure(scale: float = 1.0) -> list[Figure]:
    """Ticks per CPU second: load ten days, load them again, and copy the file with polars."""
    with tempfile.TemporaryDirectory(prefix="tick-bench-") as folder:
        home, file = Path(folder), Path(folder) / "ticks.parquet"
        ticks = canonical.write(file, _frames(int(TICKS * scale)))
        _measure_load(home / "first", file, ticks // 100)  # imports and thread pools
        first = _measure_load(home / "lake", file, ticks)
        again = _measure_load(home / "lake", file, 0)
        text = _measure_load(home / "text", _write_csv(file), ticks)
        with measure_cost() as copy:
            pl.scan_parquet(file).sink_parquet(home / "copy.parquet", compression="zstd")
        append = _measure_append(home / "append", file)
        return _figures(ticks, first, again, text, copy, append)


def _frames(ticks: int) -> Iterator[pl.DataFrame]:
    """Ten days, each with a busy stretch from midnight on."""
    seconds = max(1, ticks // (DAYS * PER_TILE * SYMBOLS))
    for day in range(DAYS):
        yield from Chunk(START_US + day * DAY_US, seconds, PER_TILE, SYMBOLS).frames()


def _measure_load(home: Path, file: Path, loaded_min: int) -> Cost:
    with measure_cost() as cost:
        report: LoadReport = load(Settings(home=home), open_feed([file]), NOW_US)
    if report.loaded < loaded_min or report.read != report.loaded + report.already:
        raise BenchError(
            f"only {report.loaded:,} of {loaded_min:,} ticks were loaded",
            "run the tests of the bulk load: `pytest tests/streaming/bulk_load`",
        )
    return cost


def _measure_append(home: Path, file: Path) -> Cost:
    """The cost of appending the same ticks with PyIceberg alone, without reading the file."""
    settings = Settings(home=home)
    Lakehouse(settings).create()
    total = Cost()
    rows = pl.scan_parquet(file).select(pl.len()).collect().item()
    for start in range(0, rows, settings.load_commit_rows):
        frame = pl.scan_parquet(file).slice(start, settings.load_commit_rows).collect()
        with measure_cost() as cost:
            Lakehouse(settings).append_ticks(frame)
        total.cpu_s += cost.cpu_s
        total.wall_s += cost.wall_s
    return total


def _write_csv(file: Path) -> Path:
    """Write the same ticks as canonical CSV; returns the file."""
    csv = file.with_suffix(".csv")
    ticks = pl.scan_parquet(file).select(pl.all().exclude("bid", "ask", "bid_size", "ask_size"))
    ticks.sink_csv(csv)
    return csv


def _figures(
    ticks: int, first: Cost, again: Cost, text: Cost, copy: Cost, append: Cost
) -> list[Figure]:
    note = (
        f"{ticks:,} ticks of {SYMBOLS} symbols and {DAYS} days; peak memory of the whole bench"
        f" {peak_memory_mib():,.0f} MiB"
    )
    return [
        Figure("bulk load, CPU", ticks / first.cpu_s, "ticks/s CPU", at_least=AIM_PER_S, note=note),
        Figure("bulk load, by the clock", ticks / first.wall_s, "ticks/s"),
        Figure(
            "the same file again, CPU",
            ticks / again.cpu_s,
            "ticks/s CPU",
            note="adds nothing: every id is looked up in silver",
        ),
        Figure(
            "the same ticks from CSV, CPU", ticks / text.cpu_s, "ticks/s CPU", note="canonical CSV"
        ),
        Figure(
            "bare append of PyIceberg, CPU",
            ticks / append.cpu_s,
            "ticks/s CPU",
            note="ticks in memory; no validation, no deduplication",
        ),
        Figure(
            "polars scan and sink, CPU",
            ticks / copy.cpu_s,
            "ticks/s CPU",
            note="the same file into another Parquet file, zstd",
        ),
        Figure(
            "CPU of a load / scan and sink",
            first.cpu_s / copy.cpu_s,
            "×",
            note="a load also validates, deduplicates, sorts and commits",
        ),
    ]
