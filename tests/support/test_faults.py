"""Injected faults are labelled exactly, and every good message is still in the stream once."""

from collections import Counter

import orjson

from contracts.messages.parsing import parse
from contracts.tick import Reason, Rejected, Tick
from streaming.feeds.tick_frame import encode
from streaming.synthetic.market import FIXTURE, generate
from tests.support.faults import DAMAGE, KINDS, inject_faults

START_US = 1_700_000_000_000_000
NOW_US = START_US + 3_600_000_000
GOOD = encode(next(generate(FIXTURE, START_US, 3_600)))


def test_good_messages_stay_once_and_faults_are_counted():
    mixed = inject_faults(GOOD, 0.3, seed=5, now_us=START_US)
    assert set(mixed.counts) == set(KINDS)
    genuine = [
        m
        for m, label in zip(mixed.messages, mixed.labels, strict=True)
        if label in (None, "disorder")
    ]
    assert Counter(genuine) == Counter(GOOD)
    assert len(mixed.messages) == len(GOOD) + sum(
        n for kind, n in mixed.counts.items() if kind != "disorder"
    )
    assert sum(mixed.rejected.values()) == sum(mixed.counts[kind] for kind in DAMAGE)
    assert set(mixed.rejected) <= {reason.value for reason in Reason}


def test_every_kind_is_really_broken():
    mixed = inject_faults(GOOD, 0.3, seed=6, now_us=START_US)
    for message, label in zip(mixed.messages, mixed.labels, strict=True):
        if label in DAMAGE:
            assert message not in GOOD
        elif label == "duplicate":
            assert mixed.messages.count(message) >= 2


def test_disorder_stays_within_its_bound():
    mixed = inject_faults(
        GOOD, 0.5, seed=7, now_us=START_US, kinds=("disorder",), disorder_us=2_000_000
    )
    newest, moved = 0, 0
    for message in mixed.messages:
        at = orjson.loads(message)["event_time_us"]
        moved += at < newest
        assert newest - at <= 2_000_000
        newest = max(newest, at)
    assert moved > 20


def test_the_same_seed_does_the_same_harm():
    assert inject_faults(GOOD, 0.1, 1, START_US) == inject_faults(GOOD, 0.1, 1, START_US)


def test_the_contract_refuses_exactly_the_damaged_ones_for_the_stated_reason():
    mixed = inject_faults(GOOD, 0.3, seed=8, now_us=NOW_US)
    parsed = [parse(message, NOW_US) for message in mixed.messages]
    expected = [DAMAGE[label][0] if label in DAMAGE else None for label in mixed.labels]
    assert [one.reason if isinstance(one, Rejected) else None for one in parsed] == expected
    accepted = [one for one in parsed if isinstance(one, Tick)]
    distinct = {(tick.key, tick.trade_id) for tick in accepted}
    assert len(distinct) == len(GOOD)
    assert len(mixed.messages) == len(distinct) + mixed.counts["duplicate"] + sum(
        mixed.rejected.values()
    )
