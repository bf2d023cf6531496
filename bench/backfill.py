"""What a backfill costs: CPU of Flink and of this process per tick, at 100 and at 5 ticks a tile,
and memory over 1, 5 and 20 million.

Marginal, as in `flink`: a long range less a short one on the same warm cluster, without the JVM's
compiler. Ticks lie in silver already, in one file per few hundred thousand, by days. A last range
holds copies of trades, which must be counted once.

Memory: the client's must not grow with the range; the TaskManager takes up to what the settings
give it, whatever the range.
"""

import resource
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import polars as pl

from bench import services
from bench.figures import BenchError, Figure
from bench.machine import jvm_spent, spent
from contracts.config.settings import Settings
from feature_store.backfill import run as backfill
from feature_store.backfill.chunks import DAY_US
from lakehouse import tables

AIM_TICKS_PER_S = 200_000
GROWTH_MAX = 1.25  # "flat": 20 million ticks may take a quarter more than one million
SERVICES = ("jobmanager", "taskmanager")
SYMBOLS = 20
DENSE, SPARSE = 100, 5
# (ticks a tile, millions of ticks, whether some are copies): one range to warm up, then the
# measured ones.
PLAN = (
    *((DENSE, 0.5, False), (DENSE, 1, False), (DENSE, 5, False), (DENSE, 20, False)),
    *((SPARSE, 0.5, False), (SPARSE, 1.5, False), (DENSE, 1, True), (DENSE, 3, True)),
)
START_US = 19_000 * DAY_US
RANGE_DAYS = 40
SLICE_ROWS = 500_000
SECOND_US, MIB = 1_000_000, 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One range: its ticks, CPU seconds of TaskManager (but for its JIT) and client, wall seconds,
    memory of each after it (MiB).
    """

    per_tile: int
    ticks: int
    cpu_s: float
    jit_s: float
    wall_s: float
    client_mib: float
    worker_mib: float


def measure(scale: float = 1.0) -> list[Figure]:
    """Marginal CPU per tick at both densities, and memory against the number of ticks."""
    with services.running(SERVICES, backfill_timeout_s=1800.0) as settings:
        tables.create(settings)
        plan = [
            (per_tile, int(millions * 1e6 * scale), copies) for per_tile, millions, copies in PLAN
        ]
        runs = [
            run(settings, number, per_tile, ticks, copies=copies)
            for number, (per_tile, ticks, copies) in enumerate(plan)
        ]
        return figures(runs, settings.flink_taskmanager_mb)


def run(settings: Settings, number: int, per_tile: int, ticks: int, *, copies: bool) -> Run:
    """Fill a range of its own and backfill it day by day. Raises BenchError when a chunk fails."""
    from_us = START_US + number * RANGE_DAYS * DAY_US
    tiles = max(60, ticks // (per_tile * SYMBOLS))
    made = _fill_apart(settings, from_us, tiles, per_tile, f"B{number}", copies)
    worker = services.process(settings, "taskmanager")
    with jvm_spent(worker) as took, spent() as own:
        done = backfill.run(settings, from_us, from_us + (tiles + 60) * SECOND_US)
    if done.failed or done.ticks != made:
        raise BenchError(
            f"a backfill of {made} ticks took {done.ticks} and failed on {len(done.failed)} chunks",
            "see the JobManager's log",
        )
    client_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Run(
        per_tile,
        made,
        took.cpu_s + own.cpu_s,
        took.jit_s,
        own.wall_s,
        client_mib,
        worker.memory_info().rss / MIB,
    )


def _fill_apart(*how: Any) -> int:
    """`fill` in a process of its own: its memory is not a backfill's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(fill, *how).result()


def fill(
    settings: Settings, from_us: int, seconds: int, per_tile: int, name: str, copies: bool
) -> int:  # noqa: FBT001
    """Silver rows: every second `per_tile` ticks of each symbol, a random walk; returns how
    many."""
    rng, at_once, made = np.random.default_rng(1), max(1, SLICE_ROWS // (per_tile * SYMBOLS)), 0
    for first in range(0, seconds, at_once):
        ticks = _ticks(rng, from_us, range(first, min(first + at_once, seconds)), per_tile, name)
        made += tables.append_ticks(
            settings, pl.concat([ticks, ticks.head(1)]) if copies else ticks
        )
    return made


def _ticks(
    rng: np.random.Generator, from_us: int, seconds: range, per_tile: int, name: str
) -> pl.DataFrame:
    rows = len(seconds) * SYMBOLS * per_tile
    second = np.repeat(np.arange(seconds.start, seconds.stop), SYMBOLS * per_tile)
    time_us = (
        from_us
        + second * SECOND_US
        + np.sort(rng.integers(0, SECOND_US, (len(seconds), SYMBOLS * per_tile)), axis=1).ravel()
    )
    symbol, number = (
        rng.integers(0, SYMBOLS, rows),
        seconds.start * SYMBOLS * per_tile + np.arange(rows),
    )
    made = {
        "venue": ["BENCH"] * rows,
        "symbol": pl.Series(symbol).cast(pl.String),
        "event_time_us": time_us,
        "ingest_time_us": time_us,
    }
    made |= {
        "price": 60_000 + np.round(rng.normal(size=rows), 2),
        "size": np.round(rng.exponential(size=rows) + 1e-3, 3),
    }
    made |= {
        "side": rng.choice([-1, 1], rows).astype(np.int32),
        "trade_id": pl.Series(number).cast(pl.String),
        "seq": number,
    }
    quotes = {
        column: pl.lit(None, dtype=pl.Float64) for column in ("bid", "ask", "bid_size", "ask_size")
    }
    return pl.DataFrame(made).with_columns(pl.col("symbol") + pl.lit(f"-{name}"), **quotes)


def figures(runs: Sequence[Run], given_mib: float) -> list[Figure]:
    """From the runs of PLAN, the first of which only warmed up, and the memory that the settings
    give the TaskManager.
    """
    _, small, middle, large, sparse_short, sparse_long, copied_short, copied_long = runs
    dense_us, sparse_us = _marginal_us(middle, large), _marginal_us(sparse_short, sparse_long)
    tile_us = (sparse_us - dense_us) / (1 / SPARSE - 1 / DENSE)
    client, worker = (_after(runs[1:4], name) for name in ("client_mib", "worker_mib"))
    clock = f"{large.ticks / large.wall_s:,.0f} ticks/s by the clock, {large.ticks:,} ticks"
    return [
        Figure(
            f"ticks at {DENSE} a tile",
            1e6 / dense_us,
            "ticks/s/core",
            at_least=AIM_TICKS_PER_S,
            note=clock,
        ),
        Figure(
            "the JIT meanwhile",
            _marginal_us(middle, large, jit=True),
            "µs CPU",
            note="a tick, left out above",
        ),
        Figure(
            f"ticks at {SPARSE} a tile",
            1e6 / sparse_us,
            "ticks/s/core",
            note=f"{sparse_long.ticks:,} ticks",
        ),
        Figure(
            "ticks with copies among them",
            1e6 / _marginal_us(copied_short, copied_long),
            "ticks/s/core",
            note=f"at {DENSE} a tile",
        ),
        Figure("a tile, all windows", tile_us, "µs CPU", note="from both densities"),
        Figure(
            "client's memory of 20 million ticks / of 1 million",
            large.client_mib / small.client_mib,
            "×",
            at_most=GROWTH_MAX,
            note=client,
        ),
        Figure(
            "TaskManager / what it is given",
            large.worker_mib / given_mib,
            "×",
            at_most=1.0,
            note=worker,
        ),
    ]


def _marginal_us(short: Run, long: Run, *, jit: bool = False) -> float:
    spent_s = [run.jit_s if jit else run.cpu_s for run in (short, long)]
    return (spent_s[1] - spent_s[0]) / (long.ticks - short.ticks) * 1e6


def _after(runs: Sequence[Run], name: str) -> str:
    return ", ".join(f"{getattr(run, name):,.0f} MiB after {run.ticks:,} ticks" for run in runs)
