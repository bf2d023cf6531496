"""CPU cost of a tick and of a tile in the live job, with all sinks, windows and checkpoints.

The cost of a tick is marginal: a long chunk minus a short one, sent to the same warm job, so that
start-up and planning do not count. The JVM's JIT compiler works for many millions of ticks and then
stops, so its CPU time is reported separately. Two densities separate ticks from tiles:
µs(p) = tick + tile / p for p ticks a tile.
"""

import time

from bench.cost import json_decoding
from bench.cost.jvm import measure_jvm_cost
from bench.cost.live_job import ChunkCost, run_chunk
from bench.load.ticks import Chunk
from bench.platform import services
from bench.report.figures import Figure
from contracts.clock import now_us
from contracts.config.settings import Settings
from contracts.durations import MINUTE_US
from feature_store.flink import rest as flink_rest
from stack.platform import PLATFORM
from streaming.job import job

AIM_TICKS_PER_S = 100_000
AIM_TILE_US = 120.0
SYMBOLS = 40
DENSE, SPARSE = 100, 5
# (ticks a tile, seconds): one long chunk of each density to warm up, because the JIT needs millions
# of ticks, then a short and a long chunk of each.
PLAN = ((DENSE, 1200), (SPARSE, 2400), (DENSE, 60), (DENSE, 600), (SPARSE, 300), (SPARSE, 2400))
REST_S = 5.0
CANCEL_TIMEOUT_S = 60.0


def measure(scale: float = 1.0) -> list[Figure]:
    """Marginal CPU of the TaskManager per tick and per tile, compared with JSON decoding alone."""
    with services.run_services(PLATFORM) as settings:
        job_id = job.start(settings)
        runs = [run_chunk(settings, job_id, chunk) for chunk in chunks(now_us(), scale)]
        idle_cores = _idle_cores(settings)
        flink_rest.cancel(settings, job_id)
        services.wait(
            lambda: flink_rest.state(settings, job_id) in flink_rest.ENDED,
            "the end of the live job",
            CANCEL_TIMEOUT_S,
        )
        _, _, dense_short, dense_long, sparse_short, sparse_long = runs
        bound_us = json_decoding.marginal_us(settings, dense_short, dense_long)
        jit_us = _marginal_us(dense_short, dense_long, jit=True)
        return figures(
            _marginal_us(dense_short, dense_long),
            _marginal_us(sparse_short, sparse_long),
            jit_us,
            bound_us,
            idle_cores,
            runs,
        )


def chunks(end_us: int, scale: float) -> list[Chunk]:
    """The chunks of PLAN, consecutive in event time; the last one ends before `end_us`."""
    plan = [(per_tile, max(2, int(seconds * scale))) for per_tile, seconds in PLAN]
    span_us = sum((-(-seconds // 60) + 1) * MINUTE_US for _, seconds in plan)
    planned = []
    start_us = (end_us - span_us) // MINUTE_US * MINUTE_US
    for per_tile, seconds in plan:
        planned.append(Chunk(start_us, seconds, per_tile, SYMBOLS))
        start_us = planned[-1].next_us
    return planned


def _marginal_us(short: ChunkCost, long: ChunkCost, *, jit: bool = False) -> float:
    spent_s = [run.jit_s if jit else run.cpu_s for run in (short, long)]
    return (spent_s[1] - spent_s[0]) / (long.chunk.ticks - short.chunk.ticks) * 1e6


def _idle_cores(settings: Settings) -> float:
    """Share of a core that the job uses without input."""
    worker = services.process(settings, "taskmanager")
    began_s = time.monotonic()
    with measure_jvm_cost(worker) as cost:
        time.sleep(REST_S)
    return cost.cpu_s / (time.monotonic() - began_s)


def figures(
    dense_us: float,
    sparse_us: float,
    jit_us: float,
    bound_us: float,
    idle_cores: float,
    runs: list[ChunkCost],
) -> list[Figure]:
    """Figures from µs per tick at both densities, without the JIT.

    `jit_us`: per tick at the first density. `bound_us`: per message of JSON decoding.
    """
    tile_us = (sparse_us - dense_us) / (1 / SPARSE - 1 / DENSE)
    ticks, tiles = sum(run.chunk.ticks for run in runs), sum(run.chunk.tiles for run in runs)
    sent = f"{ticks:,} ticks in {tiles:,} tiles of {SYMBOLS} symbols, warm-up included"
    return [
        *_density_figures(dense_us, sparse_us, jit_us, tile_us, sent),
        Figure(
            "a tile, all windows",
            tile_us,
            "µs CPU",
            at_most=AIM_TILE_US,
            note="from both densities",
        ),
        Figure("a tick without its tile", dense_us - tile_us / DENSE, "µs CPU"),
        Figure(
            "JSON decoding alone",
            bound_us,
            "µs CPU",
            note=f"{1e6 / bound_us:,.0f} messages/s/core, same messages, nothing else",
        ),
        Figure(f"a tick at {DENSE} a tile / JSON alone", dense_us / bound_us, "×"),
        Figure(
            "the job at rest",
            idle_cores,
            "cores",
            note="watermarks every 50 ms, checkpoints, idle sources",
        ),
    ]


def _density_figures(
    dense_us: float, sparse_us: float, jit_us: float, tile_us: float, note: str
) -> list[Figure]:
    return [
        Figure(
            f"ticks at {DENSE} a tile",
            1e6 / dense_us,
            "ticks/s/core",
            at_least=AIM_TICKS_PER_S,
            note=note,
        ),
        Figure(
            f"a tick at {DENSE} a tile",
            dense_us,
            "µs CPU",
            note=f"of which {tile_us / DENSE:.2f} for its tile",
        ),
        Figure(
            "the JIT meanwhile",
            jit_us,
            "µs CPU",
            note=f"per tick; including it {1e6 / (dense_us + jit_us):,.0f} ticks/s/core",
        ),
        Figure(
            f"a tick at {SPARSE} a tile",
            sparse_us,
            "µs CPU",
            note=f"hence {1e6 / sparse_us:,.0f} ticks/s/core",
        ),
    ]
