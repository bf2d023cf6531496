"""CPU time of the live job for a chunk of ticks, until the last row and a checkpoint after it."""

from dataclasses import dataclass

from bench.cost.jvm import measure_jvm_cost
from bench.load.ticks import Chunk, send_chunk, send_heartbeat
from bench.platform import services
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.topics import DEAD_LETTER, TICK_FEATURES, TICKS, Topic
from feature_store.flink import rest as flink_rest

ROWS_TIMEOUT_S = 600.0
CHECKPOINT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """CPU seconds of the TaskManager for one chunk, without and of its JIT.

    `begin` and `end`: the chunk's offsets in `ticks` by partition.
    """

    chunk: Chunk
    cpu_s: float
    jit_s: float
    begin: list[int]
    end: list[int]


def run_chunk(settings: Settings, job_id: str, chunk: Chunk) -> ChunkCost:
    """Send a chunk to the running job and wait for its results. Raises BenchError on a time-out.

    1. note the end offsets of all topics
    2. send the chunk
    3. send heartbeats until every feature row was published
    4. wait for the dead letter of each partition's last message, which is not a tick
    5. wait for a checkpoint, which commits to the lakehouse
    """
    worker = services.process(settings, "taskmanager")
    rows, letters = _count(settings, TICK_FEATURES), _count(settings, DEAD_LETTER)
    begin = services.end_offsets(settings, TICKS)
    with measure_jvm_cost(worker) as cost:
        send_chunk(settings, chunk)
        end = services.end_offsets(settings, TICKS)

        def all_rows_published() -> bool:
            send_heartbeat(settings, chunk)
            return _count(settings, TICK_FEATURES) >= rows + chunk.rows

        services.wait(all_rows_published, f"{chunk.rows} feature rows", ROWS_TIMEOUT_S)
        services.wait(
            lambda: _count(settings, DEAD_LETTER) >= letters + TICKS.partitions,
            "the last dead letters",
            ROWS_TIMEOUT_S,
        )
        done = _checkpoints(settings, job_id)
        services.wait(
            lambda: _checkpoints(settings, job_id) > done, "a checkpoint", CHECKPOINT_TIMEOUT_S
        )
    return ChunkCost(chunk, cost.cpu_s, cost.jit_s, begin, end)


def _count(settings: Settings, topic: Topic) -> int:
    return sum(services.end_offsets(settings, topic))


def _checkpoints(settings: FlinkSettings, job_id: str) -> int:
    return int(flink_rest.call(settings, f"/jobs/{job_id}/checkpoints")["counts"]["completed"])
