"""Cost of a backfill: CPU per tick at two densities, memory over 1, 5 and 20 million ticks.

The cost is marginal, as in `flink`: a long range minus a short one on the same warm cluster,
without the JVM's JIT compiler; CPU of Flink and of this process. The ticks are in silver already,
by day, in files of a few hundred thousand. The last ranges contain duplicates of trades, which must
be counted once.

Memory: the client's must not grow with the range; the TaskManager's limit is set in the settings,
whatever the range.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import polars as pl

from bench.cost.jvm import measure_jvm_cost
from bench.cost.process import measure_cost, peak_memory_mib
from bench.errors import BenchError
from bench.platform import services
from bench.report.figures import Figure
from contracts.config.groups.lakehouse import LakehouseSettings
from contracts.config.settings import Settings
from contracts.durations import DAY_US, SECOND_US
from feature_store.backfill import run as backfill
from lakehouse.tables import Lakehouse

AIM_TICKS_PER_S = 200_000
GROWTH_MAX = 1.25  # bounded memory: 20 million ticks may take a quarter more than one million
SERVICES = ("jobmanager", "taskmanager")
SYMBOLS = 20
DENSE, SPARSE = 100, 5
# (ticks a tile, millions of ticks, with duplicates): one range to warm up, then the measured ones.
PLAN = (
    *((DENSE, 0.5, False), (DENSE, 1, False), (DENSE, 5, False), (DENSE, 20, False)),
    *((SPARSE, 0.5, False), (SPARSE, 1.5, False), (DENSE, 1, True), (DENSE, 3, True)),
)
START_US = 19_000 * DAY_US
RANGE_DAYS = 40
SLICE_ROWS = 500_000
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class RangeCost:
    """One range: CPU seconds of TaskManager (without JIT) and client, memory of both after it."""

    per_tile: int
    ticks: int
    cpu_s: float
    jit_s: float
    wall_s: float
    client_mib: float
    worker_mib: float


def measure(scale: float = 1.0) -> list[Figure]:
    """Marginal CPU per tick at both densities, and memory by the number of ticks."""
    with services.run_services(SERVICES, backfill_timeout_s=1800.0) as settings:
        Lakehouse(settings).create()
        plan = [
            (per_tile, int(millions * 1e6 * scale), duplicates)
            for per_tile, millions, duplicates in PLAN
        ]
        runs = [
            run_range(settings, number, per_tile, ticks, duplicates=duplicates)
            for number, (per_tile, ticks, duplicates) in enumerate(plan)
        ]
        return figures(runs, settings.flink_taskmanager_mb)


def run_range(
    settings: Settings, number: int, per_tile: int, ticks: int, *, duplicates: bool
) -> RangeCost:
    """Fill a new range and backfill it day by day. Raises BenchError if a chunk fails."""
    from_us = START_US + number * RANGE_DAYS * DAY_US
    tiles = max(60, ticks // (per_tile * SYMBOLS))
    written = _fill_in_subprocess(settings, from_us, tiles, per_tile, f"B{number}", duplicates)
    worker = services.process(settings, "taskmanager")
    with measure_jvm_cost(worker) as jvm, measure_cost() as client:
        done = backfill.run(settings, from_us, from_us + (tiles + 60) * SECOND_US)
    if done.failed or done.ticks != written:
        raise BenchError(
            f"a backfill of {written} ticks read {done.ticks}; {len(done.failed)} chunks failed",
            "see the log of the JobManager",
        )
    return RangeCost(
        per_tile,
        written,
        jvm.cpu_s + client.cpu_s,
        jvm.jit_s,
        client.wall_s,
        peak_memory_mib(),
        worker.memory_info().rss / MIB,
    )


def _fill_in_subprocess(*arguments: Any) -> int:
    """Run `fill_silver` in another process: its memory must not count as the backfill's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(fill_silver, *arguments).result()


def fill_silver(
    settings: LakehouseSettings,
    from_us: int,
    seconds: int,
    per_tile: int,
    name: str,
    duplicates: bool,
) -> int:
    """Append `per_tile` random ticks per second and symbol to silver; returns their number."""
    rng = np.random.default_rng(1)
    step = max(1, SLICE_ROWS // (per_tile * SYMBOLS))
    written = 0
    for first in range(0, seconds, step):
        ticks = _ticks(rng, from_us, range(first, min(first + step, seconds)), per_tile, name)
        written += Lakehouse(settings).append_ticks(
            pl.concat([ticks, ticks.head(1)]) if duplicates else ticks
        )
    return written


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
    symbol = rng.integers(0, SYMBOLS, rows)
    number = seconds.start * SYMBOLS * per_tile + np.arange(rows)
    values = {
        "venue": ["BENCH"] * rows,
        "symbol": pl.Series(symbol).cast(pl.String),
        "event_time_us": time_us,
        "ingest_time_us": time_us,
        "price": 60_000 + np.round(rng.normal(size=rows), 2),
        "size": np.round(rng.exponential(size=rows) + 1e-3, 3),
        "side": rng.choice([-1, 1], rows).astype(np.int32),
        "trade_id": pl.Series(number).cast(pl.String),
        "seq": number,
    }
    quotes = {
        column: pl.lit(None, dtype=pl.Float64) for column in ("bid", "ask", "bid_size", "ask_size")
    }
    return pl.DataFrame(values).with_columns(pl.col("symbol") + pl.lit(f"-{name}"), **quotes)


def figures(runs: Sequence[RangeCost], limit_mib: float) -> list[Figure]:
    """Figures of the runs of PLAN, the first of which only warms up.

    `limit_mib`: the memory that the settings give the TaskManager.
    """
    return [*_cpu_figures(runs), *_memory_figures(runs, limit_mib)]


def _cpu_figures(runs: Sequence[RangeCost]) -> list[Figure]:
    _, _, middle, large, sparse_short, sparse_long, copied_short, copied_long = runs
    dense_us, sparse_us = _marginal_us(middle, large), _marginal_us(sparse_short, sparse_long)
    tile_us = (sparse_us - dense_us) / (1 / SPARSE - 1 / DENSE)
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
            note="per tick, not included above",
        ),
        Figure(
            f"ticks at {SPARSE} a tile",
            1e6 / sparse_us,
            "ticks/s/core",
            note=f"{sparse_long.ticks:,} ticks",
        ),
        Figure(
            "ticks with duplicates among them",
            1e6 / _marginal_us(copied_short, copied_long),
            "ticks/s/core",
            note=f"at {DENSE} a tile",
        ),
        Figure("a tile, all windows", tile_us, "µs CPU", note="from both densities"),
    ]


def _memory_figures(runs: Sequence[RangeCost], limit_mib: float) -> list[Figure]:
    _, small, _, large, *_ = runs
    return [
        Figure(
            "client's memory of 20 million ticks / of 1 million",
            large.client_mib / small.client_mib,
            "×",
            at_most=GROWTH_MAX,
            note=_memory_after(runs[1:4], "client_mib"),
        ),
        Figure(
            "TaskManager / what it is given",
            large.worker_mib / limit_mib,
            "×",
            at_most=1.0,
            note=_memory_after(runs[1:4], "worker_mib"),
        ),
    ]


def _marginal_us(short: RangeCost, long: RangeCost, *, jit: bool = False) -> float:
    spent_s = [run.jit_s if jit else run.cpu_s for run in (short, long)]
    return (spent_s[1] - spent_s[0]) / (long.ticks - short.ticks) * 1e6


def _memory_after(runs: Sequence[RangeCost], name: str) -> str:
    return ", ".join(f"{getattr(run, name):,.0f} MiB after {run.ticks:,} ticks" for run in runs)
