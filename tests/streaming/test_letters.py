"""Dead letters in an in-process Kafka: any client can write one, so nothing in them is trusted."""

from collections import Counter

import pytest
from confluent_kafka import Producer

from contracts.config import connections
from contracts.errors import ServiceError
from contracts.tick import Reason, Rejected
from streaming import dead_letters
from streaming.feeds.tick_frame import encode
from streaming.feeds.types import FeedReject
from streaming.replay.sender import Sender
from streaming.replay.sent_offsets import SentOffsets
from streaming.synthetic.market import FIXTURE, generate
from tests.support import topic_reader

NOW_US = 1_700_000_600_000_000
GOOD = encode(next(generate(FIXTURE, 1_700_000_000_000_000, 300)))


def write(settings, *letters) -> None:
    """Letters (value, headers) on partition 0."""
    producer = Producer(connections.kafka(settings))
    for value, headers in letters:
        producer.produce("ticks.dead_letter", value, b"V:S", headers=headers, partition=0)
    assert producer.flush(10) == 0


def of_job(reason: str, offset: int = 0, **more: str) -> dict[str, str]:
    return {"reason": reason, "topic": "ticks", "partition": "2", "offset": str(offset), **more}


def test_an_empty_topic_has_no_letters(broker):
    assert list(dead_letters.read(broker)) == [] and dead_letters.counts(broker) == Counter()


def test_letters_are_read_in_order_with_their_origin(broker):
    write(broker, (b"a", of_job("late", 7)), (b"b", of_job("crossed_quote", 8, detail="why")))
    first, second = dead_letters.read(broker)
    assert (first.origin, first.reason, first.raw, first.key) == ("ticks/2/7", "late", b"a", b"V:S")
    assert (second.place, second.detail) == ((2, 8), "why")
    assert not first.from_feed and first.rejected_ms > 1_600_000_000_000


def test_one_reason_can_be_selected(broker):
    write(broker, *((b"x", of_job(reason)) for reason in ("a", "b", "a")))
    assert [letter.reason for letter in dead_letters.read(broker, "a")] == ["a", "a"]
    assert list(dead_letters.read(broker, "c")) == []


def test_only_letters_after_the_remembered_ends_are_read(broker):
    write(broker, (b"old", of_job("a")))
    after = dead_letters.ends(broker)
    assert list(dead_letters.read(broker, after=after)) == []
    write(broker, (b"new", of_job("a")))
    assert [letter.raw for letter in dead_letters.read(broker, after=after)] == [b"new"]


@pytest.mark.parametrize(
    ("headers", "reason", "origin"),
    [
        ({}, "?", "?/?/?"),
        ({"reason": "a"}, "a", "?/?/?"),
        ({"reason": b"\xff\xfe", "topic": "ticks"}, "\ufffd\ufffd", "ticks/?/?"),
        ({"topic": "{0}", "partition": "%s", "offset": "\x1b[2J"}, "?", "{0}/%s/\x1b[2J"),
    ],
)
def test_missing_and_strange_headers_do_not_stop_the_reader(broker, headers, reason, origin):
    write(broker, (b"x", headers))
    (letter,) = dead_letters.read(broker)
    assert (letter.reason, letter.origin) == (reason, origin)
    assert letter.place is None


@pytest.mark.parametrize(
    ("header", "true_bytes"),
    [("9", 9), ("2000000", 2_000_000), ("-9", 3), ("9e9", 3), ("", 3), ("9" * 16, 3), ("٣", 3)],
)
def test_a_length_that_is_not_one_is_ignored(broker, header, true_bytes):
    write(broker, (b"abc", of_job("too_long", bytes=header)))
    (letter,) = dead_letters.read(broker)
    assert letter.true_bytes == true_bytes
    assert letter.is_truncated == (true_bytes > 3)


def test_a_letter_without_content_is_empty(broker):
    write(broker, (None, of_job("malformed_json")))
    (letter,) = dead_letters.read(broker)
    assert (letter.raw, letter.true_bytes, letter.is_truncated) == (b"", 0, False)


@pytest.mark.parametrize("origin", ["ticks/2", "ticks/a/1", "ticks/1/-1", "predictions/2/7", ""])
def test_only_a_place_in_ticks_is_a_place(origin):
    assert dead_letters.DeadLetter("r", origin, b"", 0, 0).place is None


def test_replay_sends_what_passes_and_counts_the_rest(broker):
    write(
        broker,
        (GOOD[0], of_job("old_rule")),
        (GOOD[1], of_job("old_rule")),
        (b"{}", of_job("invalid_field")),
        (b"no json", of_job("malformed_json")),
        (GOOD[2], of_job("too_long", bytes="70000")),
    )
    sender = Sender(broker)
    sender.send_dead_letters([FeedReject("a.csv", 4, Rejected(Reason.INVALID_FIELD, b"1,2"))])
    sender.flush()
    done = dead_letters.replay(broker, NOW_US)
    assert (done.sent, done.rows, done.truncated) == (2, 1, 1)
    assert done.rejected == Counter(invalid_field=1, malformed_json=1)
    values = [m.value for m in topic_reader.since(broker, "ticks", dict.fromkeys(range(4), 0))]
    assert sorted(values) == sorted(GOOD[:2])


def test_replay_of_one_reason_leaves_the_others(broker):
    write(broker, (GOOD[0], of_job("a")), (GOOD[1], of_job("b")))
    assert dead_letters.replay(broker, NOW_US, "b").sent == 1
    (message,) = topic_reader.since(broker, "ticks", dict.fromkeys(range(4), 0))
    assert message.value == GOOD[1]


def test_a_letter_that_a_restarted_job_wrote_again_counts_once(broker):
    own = SentOffsets()
    own.add(2, 7)
    write(broker, (b"x", of_job("late", 7)), (b"x", of_job("late", 7)), (b"y", of_job("late", 8)))
    assert dead_letters.counts_of(broker, own, {}) == Counter(late=1)


def test_more_letters_than_one_read_returns(broker):
    write(broker, *((b"x", of_job("a", offset)) for offset in range(1_234)))
    offsets = [letter.place[1] for letter in dead_letters.read(broker)]
    assert offsets == list(range(1_234))


def test_without_kafka_the_error_names_address_and_command(tmp_path, monkeypatch):
    from tests.streaming.broker import settings_of

    monkeypatch.setattr(dead_letters, "TIMEOUT_S", 0.2)
    with pytest.raises(ServiceError, match=r"does not answer at 127\.0\.0\.1:9") as caught:
        dead_letters.ends(settings_of("127.0.0.1:9", tmp_path))
    assert "tick up" in caught.value.hint
