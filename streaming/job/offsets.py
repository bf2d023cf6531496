"""Committed offsets of the job's readers: where a job without state starts.

A reader refuses an offset that its topic does not have (`auto.offset.reset` is `none`), so that
messages that expired before they were read are reported and not skipped silently.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from contracts import live_job
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.errors import JobError, ServiceError
from contracts.live_job import Reader
from feature_store.flink import program as flink_program
from feature_store.flink.program import Program, Submitter

TIMEOUT_S = 10.0
# The warm-up reads only what was published for this start: nothing of it can have expired unread.
CHECKED = tuple(reader for reader in live_job.READERS if not reader.bounded)

# Answers of a broker that has just started, or whose new topics have no leader yet.
STARTING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
STARTING_S_MAX = 60.0

log = structlog.get_logger("streaming")


def is_starting(error: BaseException) -> bool:
    """Whether Kafka gives another answer in a moment."""
    return isinstance(error, KafkaException) and error.args[0].code() in STARTING


_retry_while_starting = retry(
    retry=retry_if_exception(is_starting),
    stop=stop_after_delay(STARTING_S_MAX),
    wait=wait_fixed(0.5),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Position:
    """Next offset of a reader in one partition (None: never committed), and what the topic has."""

    reader: Reader
    partition: int
    committed: int | None
    oldest: int
    end: int

    @property
    def is_readable(self) -> bool:
        """Whether the next message exists or is the next to arrive."""
        return self.committed is not None and self.oldest <= self.committed <= self.end

    @property
    def gap(self) -> str:
        """What cannot be read, in words."""
        place = f"{self.reader.topic}/{self.partition}"
        if self.committed is not None and self.committed > self.end:
            return (
                f"group {self.reader.group} is at offset {self.committed} of {place}, which ends at"
                f" {self.end}: the topic was deleted and created again"
            )
        first = self.committed or 0
        return (
            f"group {self.reader.group} has not read {self.oldest - first:,} messages of {place}"
            f" (offsets {first} to {self.oldest - 1}), which Kafka has deleted"
        )


def submit(settings: Settings, program: Program, child: Submitter | None = None) -> str:
    """Submit the live job once its readers have readable offsets; returns the job id.

    `child` is a running submitter; by default one is started.

    Raises JobError for offsets that are out of range, ServiceError if Kafka does not answer.
    """
    prepare(settings)
    return child.submit(program) if child else flink_program.submit(settings, program)


def prepare(settings: KafkaSettings) -> None:
    """Let readers that never committed start at the oldest message; check all others.

    Raises JobError when a reader's next message has expired. ServiceError: Kafka does not answer.
    """
    for reader in CHECKED:
        with _consumer(settings, reader) as consumer:
            positions = _positions(consumer, reader)
            first = [position for position in positions if position.committed is None]
            gaps = [p.gap for p in positions if p.committed is not None and not p.is_readable]
            if gaps:
                raise JobError(
                    "; ".join(gaps),
                    "continue at the oldest message that Kafka has: `tick job skip-expired`, then"
                    " `tick job submit --fresh`; see docs/runbooks.md, JobDown",
                )
            for position in filter(lambda position: position.oldest > 0, first):
                log.warning("a reader starts after deleted messages", gap=position.gap)
            _commit_oldest(consumer, first)


def skip_expired(settings: KafkaSettings) -> list[str]:
    """Move readers whose next message does not exist to the oldest one; returns the gaps in words.

    Raises ServiceError if Kafka does not answer.
    """
    gaps: list[str] = []
    for reader in CHECKED:
        with _consumer(settings, reader) as consumer:
            lost = [p for p in _positions(consumer, reader) if not p.is_readable]
            gaps += [position.gap for position in lost if position.committed is not None]
            _commit_oldest(consumer, lost)
    return gaps


def advance(settings: KafkaSettings, saved: Mapping[str, Mapping[int, int]]) -> int:
    """Move readers forward to the offsets of a saved state; returns the number of messages skipped.

    `saved` has the next offset per partition of each reader's table. Flink commits offsets
    asynchronously, so the commit of the last savepoint of a job may be missing: a job that started
    from the committed offsets would then write ticks to silver twice. Raises ServiceError if Kafka
    does not answer.
    """
    skipped = 0
    for reader in CHECKED:
        with _consumer(settings, reader) as consumer:
            at = saved.get(reader.table, {})
            behind = [
                (position, at[position.partition])
                for position in _positions(consumer, reader)
                if (position.committed or 0) < at.get(position.partition, 0) <= position.end
            ]
            skipped += sum(offset - (position.committed or 0) for position, offset in behind)
            _commit(consumer, behind)
    return skipped


def copy(settings: KafkaSettings, reader: Reader, group: str) -> None:
    """Let another group start at the committed offsets of a reader.

    Raises ServiceError if Kafka does not answer.
    """
    with _consumer(settings, reader) as consumer:
        positions = _positions(consumer, reader)
    with _consumer(settings, replace(reader, group=group)) as consumer:
        _commit(
            consumer, [(p, p.oldest if p.committed is None else p.committed) for p in positions]
        )


@_retry_while_starting
def _positions(consumer: Consumer, reader: Reader) -> list[Position]:
    metadata = consumer.list_topics(reader.topic, timeout=TIMEOUT_S).topics[reader.topic]
    partitions = [TopicPartition(reader.topic, number) for number in sorted(metadata.partitions)]
    positions = []
    for at in consumer.committed(partitions, timeout=TIMEOUT_S):
        oldest, end = consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
        committed = at.offset if at.offset >= 0 else None
        positions.append(Position(reader, at.partition, committed, oldest, end))
    return positions


def _commit_oldest(consumer: Consumer, positions: list[Position]) -> None:
    _commit(consumer, [(position, position.oldest) for position in positions])


@_retry_while_starting
def _commit(consumer: Consumer, positions: list[tuple[Position, int]]) -> None:
    offsets = [TopicPartition(p.reader.topic, p.partition, offset) for p, offset in positions]
    if offsets:
        consumer.commit(offsets=offsets, asynchronous=False)


@contextmanager
def _consumer(settings: KafkaSettings, reader: Reader) -> Iterator[Consumer]:
    """A consumer that commits for the reader's group without joining it."""
    options = {"group.id": reader.group, "enable.auto.commit": False, "log_level": 0}
    try:
        with closing(Consumer({**connections.kafka(settings), **options})) as consumer:
            yield consumer
    except KafkaException as error:
        raise ServiceError(
            f"Kafka at {settings.kafka} returned no offsets of group {reader.group}: {error}",
            "see `tick status` and `tick logs kafka`",
        ) from error
