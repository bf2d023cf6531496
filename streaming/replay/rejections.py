"""Messages of a finished replay that the live job rejected.

1. note the end of the dead-letter topic before the first message
2. send the replay
3. wait until the job's raw reader has committed offsets after the last message: it commits after a
   checkpoint, which has flushed all dead letters up to there
4. count the dead letters since step 1 that refer to a message of the replay
"""

import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts.config import connections
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.errors import JobError
from contracts.topics import TICKS
from feature_store.flink import rest as flink_rest
from streaming import dead_letters
from streaming.job import job
from streaming.job.tables import GROUP_RAW
from streaming.replay.sent_offsets import SentOffsets

CATCH_UP_S = 60.0  # a job at 20,000 ticks/s catches up a million in it
POLL_S = 0.5
TIMEOUT_S = 5.0


class Coverage(StrEnum):
    """How much of a replay the counts cover."""

    COMPLETE = "complete"
    BEHIND = "behind"  # the job runs, but had not validated everything when the wait timed out
    NO_JOB = "no job"


@dataclass(frozen=True)
class Rejections:
    """Rejected messages by reason, and how much of the replay these counts cover."""

    reasons: Counter[str]
    coverage: Coverage


def wait_s_max(settings: FlinkSettings) -> float:
    """How long `count` waits: the checkpoint in progress, and the next one, which commits."""
    return 2 * settings.checkpoint_interval_s + CATCH_UP_S


def count(settings: Settings, sent_offsets: SentOffsets, after: dict[int, int]) -> Rejections:
    """Wait until the live job has validated `sent_offsets`, then count its dead letters.

    `after`: `dead_letters.ends` from before the replay. Waits for `wait_s_max` at most, and not at
    all if no live job runs. Raises ServiceError if Kafka is unavailable.
    """
    coverage = _wait_validated(settings, sent_offsets.ends)
    return Rejections(dead_letters.counts_of(settings, sent_offsets, after), coverage)


def _wait_validated(settings: Settings, ends: dict[int, int]) -> Coverage:
    if not _has_job(settings):
        return Coverage.NO_JOB
    deadline = time.monotonic() + wait_s_max(settings)
    options = {"group.id": GROUP_RAW, "enable.auto.commit": False, "log_level": 2}
    consumer = Consumer({**connections.kafka(settings), **options})
    try:
        while not _is_validated(consumer, ends):
            if time.monotonic() > deadline:
                return Coverage.BEHIND
            time.sleep(POLL_S)
    finally:
        consumer.close()
    return Coverage.COMPLETE


def _has_job(settings: FlinkSettings) -> bool:
    try:
        return flink_rest.running_job(settings, job.NAME) is not None
    except JobError:  # Flink is not running
        return False


def _is_validated(consumer: Consumer, ends: dict[int, int]) -> bool:
    """Whether the raw reader has committed all of `ends`. Does not join the reader's group."""
    partitions = [TopicPartition(TICKS.name, partition) for partition in ends]
    try:
        committed = consumer.committed(partitions, timeout=TIMEOUT_S)
    except KafkaException:  # a group that never committed may have no coordinator yet
        return False
    return all(part.offset >= ends[part.partition] for part in committed)
