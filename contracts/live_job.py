"""Identity of the live job for other processes: its name in Flink, its readers, its consumer
groups.
"""

from dataclasses import dataclass

from contracts import topics

NAME = "lakehouse-tick live"


@dataclass(frozen=True, slots=True)
class Reader:
    """A source of the job: its table, its topic, and the consumer group that commits its offsets.

    A `bounded` reader ends at the offsets it saw when the job started; every other reader must run
    as long as the job.
    """

    table: str
    topic: str
    group: str
    bounded: bool = False


TICKS = Reader("wire", topics.TICKS.name, "tick-job")
WARMUP = Reader("wire_warm", topics.WARMUP.name, "tick-job-warmup", bounded=True)
RAW = Reader("wire_raw", topics.TICKS.name, "tick-job-raw")
SERVED = Reader("served", topics.PREDICTIONS.name, "tick-job-predictions")
READERS = (TICKS, WARMUP, RAW, SERVED)
ENDING_READERS = tuple(reader.table for reader in READERS if reader.bounded)
WRITER_GROUP = "online-writer"  # reads the feature rows that the job publishes
