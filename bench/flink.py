"""What a tick and a tile cost in the live job, all sinks, deduplication, windows and checkpoints
included.

The cost of a tick is marginal: a long chunk less a short one, sent to the same warm job, so that
start-up and planning do not count. Nor does the JVM's compiler, which goes on for many millions of
ticks and then ends; what it took is told beside. Two densities tell ticks from tiles: µs(p) = tick
+ tile / p for p ticks a tile.
"""

import time

from bench import flink_bound, services
from bench.figures import Figure
from bench.flink_load import Run, run
from bench.load import MINUTE_US, Chunk
from bench.machine import jvm_spent
from contracts.clock import now_us
from contracts.config.settings import Settings
from feature_store.flink import rest as flink_rest
from stack.platform import PLATFORM
from streaming.job import job

AIM_TICKS_PER_S = 100_000
AIM_TILE_US = 120.0
SYMBOLS = 40
DENSE, SPARSE = 100, 5
# (ticks a tile, seconds): both shapes once to warm up, which takes the JIT millions of ticks, then
# a short and a long chunk of each.
PLAN = ((DENSE, 1200), (SPARSE, 2400), (DENSE, 60), (DENSE, 600), (SPARSE, 300), (SPARSE, 2400))
REST_S = 5.0
CANCEL_TIMEOUT_S = 60.0


def measure(scale: float = 1.0) -> list[Figure]:
    """Marginal CPU of the TaskManager per tick and per tile, beside JSON decoding alone."""
    with services.running(PLATFORM) as settings:
        job_id = job.start(settings)
        runs = [run(settings, job_id, chunk) for chunk in chunks(now_us(), scale)]
        rest = _at_rest(settings)
        flink_rest.cancel(settings, job_id)
        services.wait(
            lambda: flink_rest.state(settings, job_id) in flink_rest.ENDED,
            "the end of the live job",
            CANCEL_TIMEOUT_S,
        )
        _, _, dense_short, dense_long, sparse_short, sparse_long = runs
        bound_us = flink_bound.marginal_us(settings, dense_short, dense_long)
        jit_us = _marginal_us(dense_short, dense_long, jit=True)
        return figures(
            _marginal_us(dense_short, dense_long),
            _marginal_us(sparse_short, sparse_long),
            jit_us,
            bound_us,
            rest,
            runs,
        )


def chunks(at_us: int, scale: float) -> list[Chunk]:
    """The chunks of PLAN one after the other in event time, the last of which ends before
    `at_us`."""
    plan = [(per_tile, max(2, int(seconds * scale))) for per_tile, seconds in PLAN]
    span_us = sum((-(-seconds // 60) + 1) * MINUTE_US for _, seconds in plan)
    made, start_us = [], (at_us - span_us) // MINUTE_US * MINUTE_US
    for per_tile, seconds in plan:
        made.append(Chunk(start_us, seconds, per_tile, SYMBOLS))
        start_us = made[-1].next_us
    return made


def _marginal_us(short: Run, long: Run, *, jit: bool = False) -> float:
    spent_s = [run.jit_s if jit else run.cpu_s for run in (short, long)]
    return (spent_s[1] - spent_s[0]) / (long.chunk.ticks - short.chunk.ticks) * 1e6


def _at_rest(settings: Settings) -> float:
    """Share of a core that the job takes when nothing comes."""
    worker = services.process(settings, "taskmanager")
    began_s = time.monotonic()
    with jvm_spent(worker) as took:
        time.sleep(REST_S)
    return took.cpu_s / (time.monotonic() - began_s)


def figures(
    dense_us: float, sparse_us: float, jit_us: float, bound_us: float, rest: float, runs: list[Run]
) -> list[Figure]:
    """From µs per tick at both densities, without the JIT's; `jit_us` per tick at the first,
    `bound_us` per message, `rest` in cores.
    """
    tile_us = (sparse_us - dense_us) / (1 / SPARSE - 1 / DENSE)
    ticks, tiles = sum(run.chunk.ticks for run in runs), sum(run.chunk.tiles for run in runs)
    sent = f"{ticks:,} ticks in {tiles:,} tiles of {SYMBOLS} symbols, warm-up included"
    return [
        Figure(
            f"ticks at {DENSE} a tile",
            1e6 / dense_us,
            "ticks/s/core",
            at_least=AIM_TICKS_PER_S,
            note=sent,
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
            note=f"a tick; with it {1e6 / (dense_us + jit_us):,.0f} ticks/s/core",
        ),
        Figure(
            f"a tick at {SPARSE} a tile",
            sparse_us,
            "µs CPU",
            note=f"hence {1e6 / sparse_us:,.0f} ticks/s/core",
        ),
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
            rest,
            "cores",
            note="watermarks every 50 ms, checkpoints, idle sources",
        ),
    ]
