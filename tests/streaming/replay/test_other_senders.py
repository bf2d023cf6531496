"""A sender sees the others at its start, and leaves a Kafka that is not the one it started with."""

import pytest
from confluent_kafka import Producer

from contracts.clock import now_us
from contracts.config import connections
from contracts.errors import ServiceError
from streaming.replay import other_senders
from streaming.replay.other_senders import OtherSender
from streaming.replay.sender import Sender
from tests.streaming.broker import running_broker, settings_of
from tests.streaming.replay.test_run import TICKS, Batches, Clock, parts, run

HOUR_US = 3_600_000_000


def test_the_senders_of_the_last_seconds_are_found_with_their_clocks(broker):
    here, ahead = Sender(broker), Sender(broker)
    here.send_ticks(TICKS.head(20))
    for _ in range(2):
        here.send_heartbeat(now_us(), items=0)
        ahead.send_heartbeat(now_us() + HOUR_US, items=0)
    here.flush()
    ahead.flush()
    found = {other.run_id: other.ahead_us for other in other_senders.find(broker, now_us())}
    assert set(found) == {here.run_id, ahead.run_id}
    assert abs(found[here.run_id]) < 60_000_000 < found[ahead.run_id]


def test_a_sender_that_has_ended_is_not_found(broker):
    sender = Sender(broker)
    sender.send_heartbeat(now_us(), items=0)
    sender.flush()
    assert other_senders.find(broker, now_us() + HOUR_US) == []


def test_in_an_empty_topic_there_is_no_other(broker):
    assert other_senders.find(broker, now_us()) == []


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"event_time_us": "x"}', b"null"])
def test_a_foreign_message_with_the_header_of_a_sender_is_ignored(broker, value):
    producer = Producer(connections.kafka(broker))
    producer.produce("ticks", value, partition=0, headers={"sender": b"\xff"})
    assert producer.flush(10) == 0
    assert other_senders.find(broker, now_us()) == []


@pytest.mark.parametrize(
    ("ahead_s", "differs"), [(0, False), (1.1, False), (-1.1, False), (1.3, True), (-3_600, True)]
)
def test_clocks_differ_beyond_the_lateness_and_the_lag_of_a_silent_exchange(
    broker, ahead_s, differs
):
    settings = broker.model_copy(update={"lateness_ms": 200, "live_idle_lag_s": 1.0})
    other = OtherSender("r", 5_000_000 + int(ahead_s * 1e6))
    assert other.differs(settings, 5_000_000) is differs


def test_of_several_senders_the_first_and_the_last_are_apart(broker):
    near, ahead = OtherSender("n", -500_000), OtherSender("a", HOUR_US)
    assert other_senders.apart(broker, []) == other_senders.apart(broker, [near]) == ()
    assert other_senders.apart(broker, [near, OtherSender("m", 0)]) == ()
    assert other_senders.apart(broker, [OtherSender("m", 0), ahead, near]) == (near, ahead)


def test_two_senders_have_different_names(broker):
    assert Sender(broker).run_id != Sender(broker).run_id


def test_the_same_kafka_is_accepted_and_another_is_refused(broker, tmp_path):
    sender = Sender(broker)
    sender.require_same_cluster()
    with running_broker() as address:
        sender.cluster_id = Sender(settings_of(address, tmp_path)).cluster_id
        with pytest.raises(ServiceError, match="another Kafka answers") as caught:
            sender.require_same_cluster()
    assert "stop this sender" in caught.value.hint


def test_a_replay_ends_when_another_kafka_has_taken_the_address(broker, monkeypatch):
    checks = []

    def replaced(sender: Sender) -> None:
        checks.append(sender.acknowledged)
        if len(checks) > 2:
            raise ServiceError("another Kafka answers")

    monkeypatch.setattr(Sender, "require_same_cluster", replaced)
    settings = broker.model_copy(update={"cluster_check_s": 1.0})
    clock = Clock()
    with pytest.raises(ServiceError, match="another Kafka"):
        run(Batches(parts()), settings, clock, speed=10.0)
    assert len(checks) == 3 and clock.now_us - Clock().now_us < 3_000_000
