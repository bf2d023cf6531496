"""When something that happens at an interval is due."""

from streaming.replay.interval import Interval


def test_it_is_due_at_once_and_then_once_per_interval():
    interval = Interval.of_seconds(0.25)
    assert [interval.is_due(now) for now in (1_000_000, 1_249_999, 1_250_000, 1_300_000)] == [
        True,
        False,
        True,
        False,
    ]


def test_a_late_call_does_not_cause_a_burst():
    interval = Interval(10)
    assert interval.is_due(0) and interval.is_due(95)
    assert not interval.is_due(100) and interval.next_us == 105
