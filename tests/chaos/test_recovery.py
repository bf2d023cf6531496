"""Recoveries are collected with those that never came, and compared with their bound."""

import pytest

from tests.chaos import recovery
from tests.chaos.recovery import Spread, spread, until


def test_the_spread_has_shortest_median_and_longest():
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(4, 0, 1.0, 2.5, 10.0)
    assert spread([None, 4.0]) == Spread(2, 1, 4.0, 4.0, 4.0)
    assert spread([None]) == Spread(1, 1, None, None, None)


@pytest.mark.parametrize(
    ("seconds", "bound_s", "within"),
    [
        ([1.0, 5.0], 5.0, True),
        ([1.0, 5.1], 5.0, False),
        ([1.0, None], 5.0, False),
        ([1.0], None, None),
        ([], 5.0, True),
    ],
)
def test_the_longest_decides_and_a_service_that_stays_away_is_over(seconds, bound_s, within):
    assert spread(seconds).within(bound_s) is within


def test_waiting_ends_when_it_is_done_or_late(monkeypatch):
    monkeypatch.setattr(recovery, "POLL_S", 0.001)
    answers = iter([False, False, True])
    assert until(lambda: next(answers)) is not None
    assert until(lambda: False, timeout_s=0.01) is None
