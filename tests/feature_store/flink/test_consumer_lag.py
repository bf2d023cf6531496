"""The arithmetic of consumer lag. test_liveness reads the offsets from a real Kafka."""

import pytest

from contracts.config.settings import Settings
from contracts.errors import ServiceError
from feature_store.flink.consumer_lag import ConsumerLags, lag_of

FIRST, SECOND = ("ticks", 0), ("ticks", 1)
STARTS, ENDS = {FIRST: 5, SECOND: 0}, {FIRST: 20, SECOND: 7}
NO_COMMIT = -1001  # librdkafka's OFFSET_INVALID


def test_the_lag_is_that_of_all_partitions():
    assert lag_of({FIRST: 18, SECOND: 7}, STARTS, ENDS) == 2


def test_a_partition_without_a_commit_counts_from_its_first_message():
    assert lag_of({FIRST: NO_COMMIT, SECOND: NO_COMMIT}, STARTS, ENDS) == 15 + 7


def test_a_commit_beyond_the_end_of_a_new_topic_is_not_lag():
    assert lag_of({FIRST: 900, SECOND: 6}, STARTS, ENDS) == 1


def test_a_kafka_that_does_not_answer_is_an_error_with_its_address():
    with pytest.raises(ServiceError, match="127.0.0.1:9 returned no consumer offsets"):
        ConsumerLags(Settings(kafka_servers="127.0.0.1:9"), timeout_s=0.2).read()
