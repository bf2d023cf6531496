"""Lower bound of the live job's cost: Flink decodes the same JSON messages and discards them."""

from bench.cost.jvm import measure_jvm_cost
from bench.cost.live_job import ChunkCost
from bench.platform import services
from contracts.config.settings import Settings
from contracts.tick import MESSAGE_FIELDS
from contracts.topics import TICKS
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, submit
from streaming.job.flink_types import declared
from streaming.job.tables import kafka

FINISH_TIMEOUT_S = 180.0


def marginal_us(settings: Settings, short: ChunkCost, long: ChunkCost) -> float:
    """CPU µs per message of decoding alone: the long chunk minus the short one, after a warm-up."""
    _decode_cpu_s(settings, short)
    short_s, long_s = _decode_cpu_s(settings, short), _decode_cpu_s(settings, long)
    return (long_s - short_s) / (_messages(long) - _messages(short)) * 1e6


def _messages(run: ChunkCost) -> int:
    return sum(run.end) - sum(run.begin)


def _decode_cpu_s(settings: Settings, run: ChunkCost) -> float:
    """CPU seconds of the TaskManager, without its JIT, for a bounded job over this chunk.

    Includes the start of the job.
    """
    worker = services.process(settings, "taskmanager")
    with measure_jvm_cost(worker) as cost:
        job_id = submit(settings, program(settings, run.begin, run.end))
        flink_rest.wait(settings, job_id, FINISH_TIMEOUT_S)
    return cost.cpu_s


def program(settings: Settings, begin: list[int], end: list[int]) -> Program:
    """The decoder of the live job between these offsets, into a black hole."""
    fields = declared(MESSAGE_FIELDS)
    bounds = (
        "'scan.startup.mode'='specific-offsets',"
        f" 'scan.startup.specific-offsets'='{_offsets(begin)}'"
    )
    bounds += (
        ", 'scan.bounded.mode'='specific-offsets',"
        f" 'scan.bounded.specific-offsets'='{_offsets(end)}'"
    )
    decoder = f"{bounds}, 'format'='json', 'json.ignore-parse-errors'='true'"
    ddl = (
        f"CREATE TABLE decoded ({fields}) WITH ({kafka(settings, TICKS.name, decoder)})",
        f"CREATE TABLE hole ({fields}) WITH ('connector'='blackhole')",
    )
    insert = "INSERT INTO hole SELECT * FROM decoded"
    return Program(
        name="bench: JSON alone",
        mode="stream",
        ddl=ddl,
        views=(),
        inserts=(insert,),
        parallelism=settings.parallelism,
    )


def _offsets(offsets: list[int]) -> str:
    return ";".join(
        f"partition:{partition},offset:{offset}" for partition, offset in enumerate(offsets)
    )
