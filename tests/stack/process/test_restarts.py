"""Restarts come at once, then after doubling pauses, and end at the limit of the window."""

import pytest

from stack.process.restarts import Decision, RestartBudget


@pytest.fixture
def budget(make_settings) -> RestartBudget:
    """Three restarts in 100 s, with pauses of 2 s and 3 s (not 4: the longest)."""
    settings = make_settings(
        supervise_attempts_max=3,
        supervise_window_s=100,
        supervise_pause_s=2,
        supervise_pause_s_max=3,
    )
    return RestartBudget(settings)


def test_the_first_restart_comes_at_once_and_the_next_ones_after_growing_pauses(budget):
    decisions = []
    for now_s in (50, 51.9, 52, 54.9, 55):
        decisions.append(budget.decide(now_s))
        if decisions[-1] is Decision.RESTART:
            budget.record_restart(now_s)
    assert decisions == [
        Decision.RESTART,
        Decision.WAIT,
        Decision.RESTART,
        Decision.WAIT,
        Decision.RESTART,
    ]
    assert budget.decide(149) is Decision.GIVE_UP


def test_restarts_older_than_the_window_do_not_count(budget):
    for now_s in (0, 50, 99):
        budget.record_restart(now_s)
    assert budget.decide(99.9) is Decision.GIVE_UP
    assert budget.decide(110) is Decision.RESTART
    budget.record_restart(110)
    assert budget.restarts_s == [50, 99, 110]


def test_a_thousand_restarts_do_not_overflow_the_pause(make_settings):
    budget = RestartBudget(make_settings(supervise_attempts_max=1000, supervise_window_s=86_400))
    budget.restarts_s = [float(second) for second in range(999)]
    assert budget.decide(1000) is Decision.WAIT
    assert budget.decide(1029) is Decision.RESTART
