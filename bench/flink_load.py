"""The live job under a chunk of ticks: what its TaskManager spends until the last row is out and a
checkpoint has closed.
"""

from dataclasses import dataclass

from bench import services
from bench.load import Chunk, beat, fill
from bench.machine import jvm_spent
from contracts.config.settings import Settings
from contracts.topics import DEAD_LETTER, TICK_FEATURES, TICKS, Topic
from feature_store.flink import rest as flink_rest

ROWS_TIMEOUT_S = 600.0
CHECKPOINT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """CPU seconds of the TaskManager for one chunk but for its JIT, and its JIT's; where the chunk
    lies in `ticks`, by partition.
    """

    chunk: Chunk
    cpu_s: float
    jit_s: float
    begin: list[int]
    end: list[int]


def run(settings: Settings, job_id: str, chunk: Chunk) -> Run:
    """Send a chunk to the running job and wait for all of its results. Raises BenchError when they
    do not come.

    1. note where everything stands  2. send  3. beat until every feature row is out  4. every
       partition's last message, which is no tick, is a dead letter  5. a checkpoint completes, and
       with it the commits to the lakehouse
    """
    worker = services.process(settings, "taskmanager")
    rows, letters = _count(settings, TICK_FEATURES), _count(settings, DEAD_LETTER)
    begin = services.end_offsets(settings, TICKS)
    with jvm_spent(worker) as took:
        fill(settings, chunk)
        end = services.end_offsets(settings, TICKS)

        def every_row() -> bool:
            beat(settings, chunk)
            return _count(settings, TICK_FEATURES) >= rows + chunk.rows

        services.wait(every_row, f"{chunk.rows} feature rows", ROWS_TIMEOUT_S)
        services.wait(
            lambda: _count(settings, DEAD_LETTER) >= letters + TICKS.partitions,
            "the last dead letters",
            ROWS_TIMEOUT_S,
        )
        done = _checkpoints(settings, job_id)
        services.wait(
            lambda: _checkpoints(settings, job_id) > done, "a checkpoint", CHECKPOINT_TIMEOUT_S
        )
    return Run(chunk, took.cpu_s, took.jit_s, begin, end)


def _count(settings: Settings, topic: Topic) -> int:
    return sum(services.end_offsets(settings, topic))


def _checkpoints(settings: Settings, job_id: str) -> int:
    return int(flink_rest.call(settings, f"/jobs/{job_id}/checkpoints")["counts"]["completed"])
