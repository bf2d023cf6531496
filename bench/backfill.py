"""What a backfill costs: CPU of Flink and of this process per tick, at 100 and at 5 ticks a tile, and memory over 1, 5 and 20 million.

Marginal, as in `flink`: a long range less a short one on the same warm cluster. Ticks lie in silver already, in one file per few
hundred thousand, by days.
"""

import resource
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench import services
from bench.figures import BenchError, Figure
from bench.machine import cpu_s, spent
from contracts.settings import Settings
from feature_store import backfill, lakehouse
from feature_store.chunks import DAY_US

AIM_TICKS_PER_S = 200_000
GROWTH_MAX = 1.25  # "flat": 20 million ticks may take a quarter more than one million
SERVICES = ("jobmanager", "taskmanager")
SYMBOLS = 20
DENSE, SPARSE = 100, 5
# (ticks a tile, millions of ticks): one range to warm up, then the measured ones.
PLAN = ((DENSE, 0.5), (DENSE, 1), (DENSE, 5), (DENSE, 20), (SPARSE, 0.5), (SPARSE, 1.5))
START_US = 19_000 * DAY_US
RANGE_DAYS = 40
SLICE_ROWS = 500_000
SECOND_US, MIB = 1_000_000, 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One range: its ticks, CPU seconds of TaskManager and client, wall seconds, and both processes' memory in MiB after it."""

    per_tile: int
    ticks: int
    cpu_s: float
    wall_s: float
    memory_mib: float


def measure(scale: float = 1.0) -> list[Figure]:
    """Marginal CPU per tick at both densities, and memory against the number of ticks."""
    with services.running(SERVICES, backfill_timeout_s=1800.0) as settings:
        lakehouse.create(settings)
        plan = enumerate(PLAN)
        return figures([run(settings, number, per_tile, int(millions * 1e6 * scale)) for number, (per_tile, millions) in plan])


def run(settings: Settings, number: int, per_tile: int, ticks: int) -> Run:
    """Fill a range of its own and backfill it day by day. Raises BenchError when a chunk fails."""
    from_us = START_US + number * RANGE_DAYS * DAY_US
    tiles = max(60, ticks // (per_tile * SYMBOLS))
    made = fill(settings, from_us, tiles, per_tile, f"B{number}")
    worker = services.process(settings, "taskmanager")
    before_s = cpu_s(worker)
    with spent() as own:
        done = backfill.run(settings, from_us, from_us + (tiles + 60) * SECOND_US)
    if done.failed or done.ticks != made:
        raise BenchError(
            f"a backfill of {made} ticks took {done.ticks} and failed on {len(done.failed)} chunks", "see the JobManager's log"
        )
    memory = worker.memory_info().rss / MIB + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Run(per_tile, made, cpu_s(worker) - before_s + own.cpu_s, own.wall_s, memory)


def fill(settings: Settings, from_us: int, seconds: int, per_tile: int, name: str) -> int:
    """Silver rows: every second `per_tile` ticks of each symbol, a random walk; returns how many."""
    rng, at_once, made = np.random.default_rng(1), max(1, SLICE_ROWS // (per_tile * SYMBOLS)), 0
    for first in range(0, seconds, at_once):
        made += lakehouse.append_ticks(settings, _ticks(rng, from_us, range(first, min(first + at_once, seconds)), per_tile, name))
    return made


def _ticks(rng: np.random.Generator, from_us: int, seconds: range, per_tile: int, name: str) -> pl.DataFrame:
    rows = len(seconds) * SYMBOLS * per_tile
    second = np.repeat(np.arange(seconds.start, seconds.stop), SYMBOLS * per_tile)
    time_us = from_us + second * SECOND_US + np.sort(rng.integers(0, SECOND_US, (len(seconds), SYMBOLS * per_tile)), axis=1).ravel()
    symbol, number = rng.integers(0, SYMBOLS, rows), seconds.start * SYMBOLS * per_tile + np.arange(rows)
    made = {"venue": ["BENCH"] * rows, "symbol": pl.Series(symbol).cast(pl.String), "event_time_us": time_us, "ingest_time_us": time_us}
    made |= {"price": 60_000 + np.round(rng.normal(size=rows), 2), "size": np.round(rng.exponential(size=rows) + 1e-3, 3)}
    made |= {"side": rng.choice([-1, 1], rows).astype(np.int32), "trade_id": pl.Series(number).cast(pl.String), "seq": number}
    quotes = {column: pl.lit(None, dtype=pl.Float64) for column in ("bid", "ask", "bid_size", "ask_size")}
    return pl.DataFrame(made).with_columns(pl.col("symbol") + pl.lit(f"-{name}"), **quotes)


def figures(runs: Sequence[Run]) -> list[Figure]:
    """From the runs of PLAN, the first of which only warmed up."""
    _, small, middle, large, sparse_short, sparse_long = runs
    dense_us, sparse_us = _marginal_us(middle, large), _marginal_us(sparse_short, sparse_long)
    tile_us = (sparse_us - dense_us) / (1 / SPARSE - 1 / DENSE)
    growth = large.memory_mib / small.memory_mib
    memory = ", ".join(f"{run.memory_mib:,.0f} MiB after {run.ticks:,} ticks" for run in (small, middle, large))
    clock = f"{large.ticks / large.wall_s:,.0f} ticks/s by the clock, {large.ticks:,} ticks"
    return [
        Figure(f"ticks at {DENSE} a tile", 1e6 / dense_us, "ticks/s/core", at_least=AIM_TICKS_PER_S, note=clock),
        Figure(f"ticks at {SPARSE} a tile", 1e6 / sparse_us, "ticks/s/core", note=f"{sparse_long.ticks:,} ticks"),
        Figure("a tile, all windows", tile_us, "µs CPU", note="from both densities"),
        Figure("memory of 20 million ticks / of 1 million", growth, "×", at_most=GROWTH_MAX, note=memory),
    ]


def _marginal_us(short: Run, long: Run) -> float:
    return (long.cpu_s - short.cpu_s) / (long.ticks - short.ticks) * 1e6
