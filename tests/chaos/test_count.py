"""Each copy of a tick and each dead letter counts: one too few is lost, one too many duplicated."""

import polars as pl
import pytest

from contracts.messages.encoding import encode, heartbeat
from contracts.tick import Reason, Tick
from tests.chaos import count
from tests.chaos.count import Counts
from tests.support.topic_reader import Message

NOW_US = 1_700_000_000_000_000


def tick(number):
    return Tick("CHAOS", "A", NOW_US, NOW_US, 1.0, 1.0, 1, f"c{number}", number)


def messages(*values):
    return [
        Message(number % 2, number, None, value, {}, NOW_US) for number, value in enumerate(values)
    ]


SENT = [encode(tick(1)), b"no JSON", encode(tick(2)), encode(tick(2)), heartbeat(NOW_US)]


@pytest.fixture
def sent():
    return count.judge(messages(*SENT))


def rows(*numbers, late=()):
    keys = {"key": [f"CHAOS:A c{n}" for n in numbers], "late": [n in late for n in numbers]}
    return pl.DataFrame(keys, schema={"key": pl.String, "late": pl.Boolean})


LETTERS = {(1, 1): Reason.MALFORMED_JSON.value}


def test_messages_are_judged_without_heartbeats(sent):
    assert sent.messages == 4 and sent.refused == LETTERS
    assert dict(sent.accepted.iter_rows()) == {"CHAOS:A c1": 1, "CHAOS:A c2": 2}


def test_more_messages_than_a_batch_are_all_judged(monkeypatch):
    monkeypatch.setattr(count, "BATCH", 2)
    sent = count.judge(messages(*(encode(tick(n)) for n in range(5))))
    assert sent.accepted["copies"].sum() == 5


def test_what_arrives_as_often_as_it_was_sent_is_clean(sent):
    counted = count.compare(sent, rows(1, 2, 2, late=(1,)), LETTERS)
    assert counted.clean and counted.examples == []
    assert (counted.topic, counted.silver, counted.dead, counted.late) == (4, 3, 1, 1)


def test_a_trade_with_a_copy_in_time_is_not_late(sent):
    both = rows(1, 2, 2).with_columns(late=pl.Series([False, True, False]))
    assert count.compare(sent, both, LETTERS).late == 0


@pytest.mark.parametrize(
    ("numbers", "lost", "duplicated"),
    [((2, 2), 1, 0), ((1, 2), 1, 0), ((1, 1, 2, 2), 0, 1), ((2, 2, 2), 1, 1), ((1, 2, 2, 9), 0, 1)],
)
def test_a_copy_too_few_is_lost_and_one_too_many_duplicated(sent, numbers, lost, duplicated):
    counted = count.compare(sent, rows(*numbers), LETTERS)
    assert (counted.lost, counted.duplicated) == (lost, duplicated)
    assert not counted.clean and counted.examples


def test_dead_letters_are_exact(sent):
    good = rows(1, 2, 2)
    assert count.compare(sent, good, {}).lost == 1
    assert count.compare(sent, good, {**LETTERS, (0, 0): "malformed_json"}).duplicated == 1
    other = count.compare(sent, good, {(1, 1): Reason.INVALID_FIELD.value})
    assert other.mismatched == 1 and not other.clean


def test_nothing_sent_and_nothing_arrived_is_clean():
    assert count.compare(count.judge([]), rows(), {}).clean


@pytest.mark.parametrize("name", ["lost", "duplicated", "wrong_letters", "stale", "unexplained"])
def test_any_of_these_is_not_clean(name):
    assert Counts().clean and not Counts(**{name: 1}).clean
