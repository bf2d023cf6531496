"""Where the job's readers start: messages that expired unread are told, never skipped silently."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts import live_job
from contracts.config import connections
from contracts.config.settings import Settings
from contracts.errors import JobError, ServiceError
from contracts.live_job import RAW, TICKS
from streaming.job import offsets, tables
from streaming.job.offsets import Position
from tests.streaming.broker import running_broker, settings_of

TOPICS = tuple(sorted({reader.topic for reader in live_job.READERS}))


@pytest.fixture
def kafka(tmp_path):
    with running_broker(TOPICS) as address:
        yield settings_of(address, tmp_path / "home")


def send(settings, count):
    producer = Producer(connections.kafka(settings))
    for _ in range(count):
        producer.produce(TICKS.topic, b"x", partition=0)
    assert producer.flush(10) == 0


def consumer(settings, group):
    return Consumer({**connections.kafka(settings), "group.id": group, "log_level": 0})


def commit(settings, group, offset):
    client = consumer(settings, group)
    client.commit(offsets=[TopicPartition(TICKS.topic, 0, offset)], asynchronous=False)
    client.close()


def committed(settings, group, partitions=(0,)):
    client = consumer(settings, group)
    found = client.committed([TopicPartition(TICKS.topic, p) for p in partitions], timeout=10)
    client.close()
    return [at.offset for at in found]


def test_only_the_warm_up_may_start_at_another_offset_than_the_committed_one():
    settings = Settings()
    for ddl in (
        tables.ticks_source(settings),
        tables.raw_source(settings),
        tables.predictions_source(settings),
    ):
        assert "'properties.auto.offset.reset'='none'" in ddl
    assert "'properties.auto.offset.reset'='earliest'" in tables.warmup_source(settings)


def test_a_first_start_begins_at_the_oldest_message_and_later_ones_where_it_ended(kafka):
    send(kafka, 5)
    offsets.prepare(kafka)
    assert committed(kafka, TICKS.group, range(4)) == [0, 0, 0, 0]
    commit(kafka, TICKS.group, 3)
    offsets.prepare(kafka)
    assert (committed(kafka, TICKS.group), committed(kafka, RAW.group)) == ([3], [0])


def test_an_offset_that_the_topic_does_not_have_is_refused_until_it_is_skipped(kafka):
    send(kafka, 5)
    offsets.prepare(kafka)
    commit(kafka, RAW.group, 9)
    with pytest.raises(JobError, match="tick-job-raw is at offset 9 of ticks/0.*ends at 5") as told:
        offsets.prepare(kafka)
    assert "tick job skip-expired" in told.value.hint
    assert committed(kafka, RAW.group) == [9]
    (gap,) = offsets.skip_expired(kafka)
    assert "offset 9" in gap
    offsets.prepare(kafka)
    assert committed(kafka, RAW.group) == [0]
    assert offsets.skip_expired(kafka) == []


@pytest.mark.parametrize(
    ("offset", "is_readable"), [(None, False), (6, False), (7, True), (9, True), (10, False)]
)
def test_only_offsets_from_the_oldest_message_to_the_end_are_readable(offset, is_readable):
    assert Position(TICKS, 2, offset, oldest=7, end=9).is_readable is is_readable


def test_the_gap_names_group_partition_and_offsets():
    gap = Position(TICKS, 2, 1_000, oldest=3_500, end=9_000).gap
    assert "tick-job has not read 2,500 messages of ticks/2 (offsets 1000 to 3499)" in gap


def test_without_kafka_the_start_says_so(monkeypatch):
    monkeypatch.setattr(offsets, "TIMEOUT_S", 0.2)
    with pytest.raises(ServiceError, match="no offsets of group tick-job"):
        offsets.prepare(Settings(kafka_servers="127.0.0.1:1"))


def test_a_broker_that_has_just_started_is_waited_for():
    for code in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS):
        assert offsets.is_starting(KafkaException(KafkaError(code)))
    assert not offsets.is_starting(KafkaException(KafkaError(KafkaError._TRANSPORT)))
    assert not offsets.is_starting(KafkaException(KafkaError(KafkaError.OFFSET_OUT_OF_RANGE)))


def test_a_saved_state_moves_readers_forward_never_back_and_not_beyond_the_end(kafka):
    send(kafka, 5)
    offsets.prepare(kafka)
    commit(kafka, TICKS.group, 2)
    commit(kafka, RAW.group, 4)
    saved = {TICKS.table: {0: 4, 1: 0}, RAW.table: {0: 3}, "another": {0: 5}}
    assert offsets.advance(kafka, saved) == 2
    assert (committed(kafka, TICKS.group), committed(kafka, RAW.group)) == ([4], [4])
    assert offsets.advance(kafka, {TICKS.table: {0: 6}}) == 0
    assert committed(kafka, TICKS.group, range(4)) == [4, 0, 0, 0]


def test_a_group_that_never_committed_starts_at_the_saved_offset(kafka):
    send(kafka, 5)
    offsets.advance(kafka, {TICKS.table: {0: 3}})
    assert committed(kafka, TICKS.group) == [3]


def test_another_group_gets_the_offsets_of_a_reader(kafka):
    send(kafka, 5)
    commit(kafka, TICKS.group, 3)
    offsets.copy(kafka, TICKS, "other")
    assert committed(kafka, "other", range(4)) == [3, 0, 0, 0]
    assert committed(kafka, TICKS.group) == [3]


def test_a_start_continues_in_the_submitter_that_it_is_given(kafka):
    class Child:
        def submit(self, program):
            return f"submitted {program}"

    assert offsets.submit(kafka, "p", Child()) == "submitted p"
    assert committed(kafka, TICKS.group, range(4)) == [0, 0, 0, 0]
