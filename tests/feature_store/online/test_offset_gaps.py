"""Rows that expired before the online writer read them, from offsets of a real client."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from contracts.config import connections
from contracts.topics import TICK_FEATURES
from feature_store.online.offset_gaps import OffsetGaps
from feature_store.online.writer import consumer_config
from tests.streaming.broker import running_broker, settings_of


class Group:
    """A consumer whose group has committed these offsets."""

    def __init__(self, *offsets, error=None):
        self.offsets, self.error = offsets, error

    def committed(self, partitions, timeout):
        if self.error is not None:
            raise KafkaException(self.error)
        return [
            TopicPartition(at.topic, at.partition, offset)
            for at, offset in zip(partitions, self.offsets, strict=True)
        ]


def assigned(*offsets, error=None):
    gaps = OffsetGaps()
    partitions = [TopicPartition(TICK_FEATURES.name, number) for number in range(len(offsets))]
    gaps.on_assign(Group(*offsets, error=error), partitions)
    return gaps


def test_a_group_below_the_oldest_message_has_a_gap_once():
    gaps = assigned(10, 20)
    assert gaps.count_before(0, 17) == 7
    assert gaps.count_before(0, 18) == 0
    assert gaps.count_before(1, 20) == 0


def test_a_group_that_never_committed_has_none():
    assert assigned(-1001).count_before(0, 5_000) == 0


def test_a_message_delivered_again_is_not_a_gap():
    gaps = assigned(10)
    assert [gaps.count_before(0, offset) for offset in (10, 11, 10, 11)] == [0, 0, 0, 0]


def test_a_kafka_that_does_not_return_offsets_does_not_stop_the_writer():
    gaps = assigned(10, error=KafkaError(KafkaError._TIMED_OUT))
    assert gaps.count_before(0, 17) == 0


def test_the_committed_offsets_of_a_real_group_are_expected(tmp_path):
    with running_broker((TICK_FEATURES.name,)) as address:
        settings = settings_of(address, tmp_path)
        producer = Producer(connections.kafka(settings))
        for _ in range(5):
            producer.produce(TICK_FEATURES.name, b"{}", partition=0)
        assert producer.flush(10) == 0
        consumer, gaps = Consumer(consumer_config(settings)), OffsetGaps()
        consumer.commit(offsets=[TopicPartition(TICK_FEATURES.name, 0, 3)], asynchronous=False)
        consumer.subscribe([TICK_FEATURES.name], on_assign=gaps.on_assign)
        deadline, message = time.monotonic() + 30, None
        while message is None and time.monotonic() < deadline:
            message = consumer.poll(0.2)
        consumer.close()
    assert message.offset() == 3
    assert gaps.count_before(0, 7) == 4
