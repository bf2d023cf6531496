"""The bound beside the live job: Flink reads the same messages, decodes their JSON, and throws them
away.
"""

from bench import services
from bench.flink_load import Run
from bench.machine import jvm_spent
from contracts.config.settings import Settings
from contracts.topics import TICKS
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program, submit
from streaming.job.tables import kafka
from streaming.job.validation_sql import TYPES

FINISH_TIMEOUT_S = 180.0


def marginal_us(settings: Settings, short: Run, long: Run) -> float:
    """CPU µs per message of decoding alone: the long chunk less the short one, both after a first
    run that warms up.
    """
    _decode(settings, short)
    less, more = _decode(settings, short), _decode(settings, long)
    return (more - less) / (_messages(long) - _messages(short)) * 1e6


def _messages(run: Run) -> int:
    return sum(run.end) - sum(run.begin)


def _decode(settings: Settings, run: Run) -> float:
    """CPU seconds of the TaskManager but for its JIT, for a bounded job over this chunk, its start
    included.
    """
    worker = services.process(settings, "taskmanager")
    with jvm_spent(worker) as took:
        flink_rest.wait(
            settings, submit(settings, program(settings, run.begin, run.end)), FINISH_TIMEOUT_S
        )
    return took.cpu_s


def program(settings: Settings, begin: list[int], end: list[int]) -> Program:
    """The same decoder as the live job's, from and to these offsets, into a black hole."""
    fields = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
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
