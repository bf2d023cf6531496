"""Dead letters are readable, safe to print, and can be replayed under the current rules."""

from collections import Counter

import orjson
import pytest
from confluent_kafka import Producer

from contracts.clock import now_us
from contracts.config import connections
from contracts.errors import ServiceError
from contracts.tick import MESSAGE_BYTES_MAX, Reason, Rejected
from streaming import dead_letters
from streaming.feeds.tick_frame import encode
from streaming.feeds.types import FeedReject
from streaming.replay.sender import Sender
from streaming.replay.sent_offsets import SentOffsets
from streaming.synthetic.market import FIXTURE, generate
from tests.streaming.replay.test_replay import command, finish
from tests.support import topic_reader
from tests.support.faults import inject_faults

pytestmark = pytest.mark.integration
START_US = 1_700_000_000_000_000
GOOD = encode(next(generate(FIXTURE, START_US, 300)))


def refuse(settings, letters):
    """Write dead letters as the live job does: raw bytes, reason and origin."""
    producer = Producer({**connections.kafka(settings)})
    for offset, (reason, origin, raw, *true_bytes) in enumerate(letters):
        headers = {"reason": reason, "topic": origin, "partition": "2", "offset": str(offset)}
        headers |= dict(zip(("bytes",), true_bytes, strict=False))
        producer.produce("ticks.dead_letter", raw, b"SYNTH:AAAUSD", headers=headers)
    assert producer.flush(30) == 0


def test_letters_say_why_and_whence(kafka):
    before = dead_letters.counts(kafka)
    refuse(kafka, [("crossed_quote", "ticks", b"{}"), ("malformed_json", "feed:x.csv", b"\xff")])
    letters = list(dead_letters.read(kafka))[-2:]
    assert [(letter.reason, letter.raw) for letter in letters] == [
        ("crossed_quote", b"{}"),
        ("malformed_json", b"\xff"),
    ]
    assert [letter.origin for letter in letters] == ["ticks/2/0", "feed:x.csv/2/1"]
    assert [letter.from_feed for letter in letters] == [False, True]
    assert letters[0].key == b"SYNTH:AAAUSD" and letters[0].rejected_ms > 1_600_000_000_000
    assert dead_letters.counts(kafka) - before == Counter(crossed_quote=1, malformed_json=1)
    assert list(dead_letters.read(kafka, "crossed_quote"))[-1].origin == "ticks/2/0"


def test_the_letters_of_one_sender_count_once_each(kafka):
    refuse(kafka, [("crossed_quote", "ticks", b"{}"), ("crossed_quote", "ticks", b"{}")])
    after, own = dead_letters.ends(kafka), SentOffsets()
    own.add(2, 1)
    own.add(2, 2)
    letters = [
        ("crossed_quote", "ticks", b"{}"),
        ("malformed_json", "ticks", b"{"),
        ("not_positive", "feed:x.csv", b"1"),
    ]
    for _ in range(2):  # a restarted job writes letters again
        refuse(kafka, letters)
    assert dead_letters.counts_of(kafka, own, after) == Counter(malformed_json=1)
    assert dead_letters.counts_of(kafka, own, dead_letters.ends(kafka)) == Counter()


def test_what_passes_now_goes_back_to_the_stream(kafka):
    mixed = inject_faults(
        GOOD, 0.5, seed=3, now_us=now_us(), kinds=("wrong_type", "negative", "bad_json")
    )
    broken = [raw for raw, label in zip(mixed.messages, mixed.labels, strict=True) if label]
    refuse(
        kafka,
        [("old_rule", "ticks", raw) for raw in [*GOOD[:10], *broken]]
        + [("old_rule", "feed:x.csv", b"1,2,3")],
    )
    marks = topic_reader.ends(kafka, "ticks")
    done = dead_letters.replay(kafka, now_us(), "old_rule")
    sent = topic_reader.since(kafka, "ticks", marks)
    assert (done.sent, done.rows) == (10, 1)
    assert done.rejected == mixed.rejected
    assert Counter(orjson.dumps(m.fields) for m in sent) == Counter(GOOD[:10])
    assert {m.key for m in sent} == {f"SYNTH:{orjson.loads(raw)['symbol']}" for raw in GOOD[:10]}


def test_a_letter_that_was_cut_says_so_and_is_not_sent_again(kafka):
    whole, cut, nonsense = (
        ("big", "ticks", GOOD[0]),
        ("big", "ticks", GOOD[1], "70000"),
        ("big", "ticks", GOOD[2], "²"),
    )
    refuse(kafka, [whole, cut, nonsense])
    letters = list(dead_letters.read(kafka, "big"))
    assert [(letter.true_bytes, letter.is_truncated) for letter in letters] == [
        (len(GOOD[0]), False),
        (70_000, True),
        (len(GOOD[2]), False),
    ]
    marks = topic_reader.ends(kafka, "ticks")
    done = dead_letters.replay(kafka, now_us(), "big")
    assert (done.sent, done.truncated, done.rows, done.rejected) == (2, 1, 0, Counter())
    assert len(topic_reader.since(kafka, "ticks", marks)) == 2

    code, output = finish(command(kafka, "dead-letters", "list", "--reason", "big"))
    assert code == 0 and "70,000" in output
    code, output = finish(command(kafka, "dead-letters", "replay", "--reason", "big"))
    assert code == 0 and "sent again 2, still rejected 0, rows of files 0, truncated 1" in output
    assert "of messages longer than 65,536 bytes only the start is kept" in " ".join(output.split())


def test_a_long_row_of_a_feed_is_cut_too(kafka):
    raw = b"x" * 3_000_000  # more than a producer sends in one message
    before = topic_reader.ends(kafka, "ticks.dead_letter")
    sender = Sender(kafka)
    sender.send_dead_letters([FeedReject("long.csv", 7, Rejected(Reason.INVALID_FIELD, raw))])
    sender.flush()
    (letter,) = topic_reader.since(kafka, "ticks.dead_letter", before)
    assert (letter.value, letter.headers["bytes"]) == (raw[:MESSAGE_BYTES_MAX], "3000000")


def test_the_command_shows_strange_bytes_harmlessly(kafka):
    refuse(kafka, [(Reason.MALFORMED_JSON, "ticks", b"\x1b[31m[bold]red\x07")])
    code, output = finish(
        command(kafka, "dead-letters", "list", "--reason", "malformed_json", "--limit", "1")
    )
    assert code == 0
    assert r"\x1b[31m[bold]red\x07" in output and "\x07" not in output
    assert "malformed_json" in output.splitlines()[-1]


def test_the_command_sends_again_and_counts(kafka):
    refuse(kafka, [("new_rule", "ticks", GOOD[0]), ("new_rule", "ticks", b"{")])
    code, output = finish(command(kafka, "dead-letters", "replay", "--reason", "new_rule"))
    assert code == 0
    assert "sent again 1, still rejected 1, rows of files 0" in output


def test_without_kafka_the_error_says_what_to_do(free_settings):
    with pytest.raises(ServiceError, match="does not answer"):
        dead_letters.counts(free_settings)
