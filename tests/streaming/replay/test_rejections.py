"""Counting what the live job rejected of a replay: how much of it the count covers."""

from collections import Counter

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from contracts.config import connections
from streaming import dead_letters
from streaming.job.tables import GROUP_RAW
from streaming.replay import rejections
from streaming.replay.rejections import Coverage
from streaming.replay.sender import Sender
from tests.support.flink_server import flink_server


@pytest.fixture
def flink():
    with flink_server() as server:
        yield server


@pytest.fixture
def written(broker):
    """The offsets of three messages on one partition."""
    sender = Sender(broker)
    for value in (b"a", b"b", b"c"):
        sender.send_message("V:S", value)
    sender.flush()
    return sender.sent_offsets


def commit(settings, ends: dict[int, int]) -> None:
    """What the job's raw reader does after a checkpoint."""
    options = {"group.id": GROUP_RAW, "enable.auto.commit": False}
    consumer = Consumer({**connections.kafka(settings), **options})
    offsets = [TopicPartition("ticks", partition, end) for partition, end in ends.items()]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


def reject(settings, partition: int, offset: int, reason: str) -> None:
    producer = Producer(connections.kafka(settings))
    place = {"topic": "ticks", "partition": str(partition), "offset": str(offset)}
    producer.produce("ticks.dead_letter", b"x", headers={"reason": reason, **place})
    assert producer.flush(10) == 0


def test_a_job_that_committed_everything_covers_the_replay(broker, flink, written):
    settings = broker.model_copy(update={"flink_port": flink.port})
    ((partition, end),) = written.ends.items()
    before = dead_letters.ends(settings)
    reject(settings, partition, end - 1, "late")
    reject(settings, partition, end, "of_another_sender")
    commit(settings, written.ends)
    result = rejections.count(settings, written, before)
    assert (result.reasons, result.coverage) == (Counter(late=1), Coverage.COMPLETE)


@pytest.mark.parametrize("committed", [None, 2])
def test_a_job_that_is_behind_is_waited_for_and_then_reported(
    broker, flink, written, monkeypatch, committed
):
    monkeypatch.setattr(rejections, "wait_s_max", lambda _settings: 0.0)
    monkeypatch.setattr(rejections, "POLL_S", 0.01)
    settings = broker.model_copy(update={"flink_port": flink.port})
    if committed is not None:
        commit(settings, dict.fromkeys(written.ends, committed))
    assert rejections.count(settings, written, {}).coverage is Coverage.BEHIND


def test_without_a_live_job_nothing_is_waited_for(broker, flink, written):
    settings = broker.model_copy(update={"flink_port": flink.port})
    flink.state = "FINISHED"
    assert rejections.count(settings, written, {}).coverage is Coverage.NO_JOB


def test_without_flink_there_is_no_job(broker, written):
    with flink_server() as server:
        port = server.port
    settings = broker.model_copy(update={"flink_port": port})
    assert rejections.count(settings, written, {}).coverage is Coverage.NO_JOB


def test_the_wait_covers_two_checkpoints(broker):
    settings = broker.model_copy(update={"checkpoint_interval_s": 7.0})
    assert rejections.wait_s_max(settings) == 14.0 + rejections.CATCH_UP_S
