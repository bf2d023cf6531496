"""What a sender writes and counts, against an in-process Kafka."""

import polars as pl
import pytest

from contracts.errors import ServiceError
from contracts.tick import MESSAGE_BYTES_MAX, Reason, Rejected
from streaming.feeds.tick_frame import encode
from streaming.feeds.types import FeedReject
from streaming.replay.sender import HEADER_CHARS_MAX, Sender
from streaming.synthetic.market import FIXTURE, generate
from tests.streaming.broker import running_broker, settings_of
from tests.support import topic_reader

TICKS = next(generate(FIXTURE, 1_700_000_000_000_000, 300))
NOTHING = dict.fromkeys(range(4), 0)


def reject(row: int, raw: bytes = b"raw", detail: str = "") -> FeedReject:
    return FeedReject("a.csv", row, Rejected(Reason.INVALID_FIELD, raw, detail))


def letters(settings):
    return topic_reader.since(settings, "ticks.dead_letter", NOTHING)


def test_ticks_are_keyed_by_symbol_and_stay_in_order(broker):
    sender = Sender(broker)
    sender.send_ticks(TICKS)
    sender.flush(TICKS.height)
    messages = topic_reader.since(broker, "ticks", NOTHING)
    assert sender.acknowledged == TICKS.height
    for symbol in FIXTURE.symbols:
        own = [message for message in messages if message.key == f"SYNTH:{symbol}"]
        assert [message.value for message in own] == encode(
            TICKS.filter(pl.col("symbol") == symbol)
        )
        assert len({message.partition for message in own}) == 1


def test_a_heartbeat_reaches_every_partition_and_proves_what_was_sent_before(broker):
    sender = Sender(broker)
    sender.send_ticks(TICKS.head(7))
    sender.send_heartbeat(5, items=7)
    sender.flush()
    assert sender.acknowledged == 7
    beats = [m for m in topic_reader.since(broker, "ticks", NOTHING) if m.is_beat]
    assert [m.partition for m in beats] == [0, 1, 2, 3]
    assert {m.fields["event_time_us"] for m in beats} == {5}


def test_its_offsets_are_those_of_its_messages_only(broker):
    first, second = Sender(broker), Sender(broker)
    first.send_ticks(TICKS.head(50))
    first.flush()
    second.send_message("SYNTH:AAAUSD", b"{}")
    second.flush()
    messages = topic_reader.since(broker, "ticks", NOTHING)
    foreign = [m.value for m in messages if (m.partition, m.offset) not in first.sent_offsets]
    assert foreign == [b"{}"]


def test_a_dead_letter_has_its_origin_and_reason(broker):
    sender = Sender(broker)
    sender.send_dead_letters([reject(41, b"\xffx", "unreadable: price")])
    sender.flush()
    (letter,) = letters(broker)
    assert letter.value == b"\xffx"
    assert letter.headers == {
        "reason": "invalid_field",
        "topic": "feed:a.csv",
        "partition": "0",
        "offset": "41",
        "detail": "unreadable: price",
    }


@pytest.mark.parametrize(("length", "header"), [(MESSAGE_BYTES_MAX, None), (2_000_000, "2000000")])
def test_a_long_row_is_truncated_and_its_length_is_a_header(broker, length, header):
    sender = Sender(broker)
    sender.send_dead_letters([reject(1, b"x" * length, "d" * 5_000)])
    sender.flush()
    (letter,) = letters(broker)
    assert len(letter.value) == MESSAGE_BYTES_MAX
    assert letter.headers.get("bytes") == header
    assert len(letter.headers["detail"]) == HEADER_CHARS_MAX


def test_a_heartbeat_does_not_prove_letters_that_are_still_on_their_way(broker):
    sender = Sender(broker)
    sender._letters_sent = 1  # a letter whose acknowledgement has not arrived
    sender.send_heartbeat(5, items=3)
    sender._producer.flush(5)
    assert sender.acknowledged == 0


def test_more_messages_than_the_queue_holds_are_sent_in_order(broker):
    small = broker.model_copy(update={"producer_queue_max": 1_000})
    sender, one = Sender(small), TICKS.filter(pl.col("symbol") == "AAAUSD").head(40)
    for _ in range(60):
        sender.send_ticks(one)
    sender.flush()
    values = [message.value for message in topic_reader.since(broker, "ticks", NOTHING)]
    assert values == encode(one) * 60


@pytest.mark.parametrize("queue_max", [1, 3, 7])
def test_a_queue_smaller_than_a_batch_or_the_partitions_ends_and_keeps_the_order(broker, queue_max):
    small = broker.model_copy(update={"producer_queue_max": queue_max, "producer_linger_ms": 0})
    sender, one = Sender(small), TICKS.filter(pl.col("symbol") == "AAAUSD").head(20)
    sender.send_ticks(one)
    sender.send_heartbeat(5, items=20)
    sender.send_dead_letters([reject(1), reject(2)])
    sender.flush()
    messages = topic_reader.since(broker, "ticks", NOTHING)
    assert [message.value for message in messages if not message.is_beat] == encode(one)
    assert len([message for message in messages if message.is_beat]) == 4
    assert sender.acknowledged == 20 and len(letters(broker)) == 2


def test_without_the_topics_it_names_them_and_the_command(tmp_path):
    with running_broker(("ticks",)) as address, pytest.raises(ServiceError) as caught:
        Sender(settings_of(address, tmp_path))
    assert caught.value.message == "Kafka has no topic ticks.dead_letter"
    assert "tick up" in caught.value.hint


def test_an_undelivered_message_is_an_error_that_says_how_to_continue(broker):
    sender = Sender(broker)
    sender._delivered("broker is down", None)
    with pytest.raises(
        ServiceError, match="1 messages were not delivered: broker is down"
    ) as caught:
        sender.poll()
    assert "--resume" in caught.value.hint


def test_after_a_failure_a_heartbeat_proves_nothing(broker):
    sender = Sender(broker)
    sender.failed = 1
    with pytest.raises(ServiceError):
        sender.send_heartbeat(5, items=9)
    sender._producer.flush(5)
    assert sender.acknowledged == 0
