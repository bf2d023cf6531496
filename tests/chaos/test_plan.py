"""A plan depends on its seed alone, and survives being saved."""

import pytest

from tests.chaos import plan
from tests.chaos.plan import NAMES, SERVICES, SMOKE, Plan


def of(seed, *rows, count=None, minutes=30):
    return plan.make(rows, seed, 2000, count, minutes)


def test_the_same_seed_gives_the_same_actions():
    assert of(1, *NAMES) == of(1, *NAMES)
    assert all(of(1, row) != of(2, row) for row in NAMES)


def test_a_row_does_not_depend_on_the_others():
    assert of(4, "F1", "F6").phases[1] == of(4, "F6").phases[0]


def test_counts_are_those_of_the_table_unless_stated():
    assert [len(phase.actions) for phase in of(1, "F1", "F7", "F8").phases] == [20, 10, 10]
    assert [len(phase.actions) for phase in of(1, "F1", "F7", count=3).phases] == [3, 3]


def test_a_soak_has_one_fault_a_minute_and_every_kind_before_one_again():
    actions = of(1, "F28", minutes=22).phases[0].actions
    assert [int(action.at_s // 60) for action in actions] == list(range(22))
    labels = [action.label for action in actions]
    assert set(labels[:11]) == set(labels[11:]) and len(set(labels)) == 11
    assert {f"kill {name}" for name in SERVICES} < set(labels)


def test_two_at_once_are_two_services_at_the_same_time():
    actions = of(1, "F27", count=2).phases[0].actions
    for first, second in (actions[:2], actions[2:]):
        assert first.at_s == second.at_s and first.target != second.target
        assert (first.joined, second.joined) == (False, True)


def test_the_smoke_kills_each_of_the_four_once():
    targets = [action.target for action in of(1, SMOKE).phases[0].actions if action.kind == "kill"]
    assert sorted(targets) == ["api", "redis", "taskmanager", "writer"]


def test_actions_follow_one_another():
    for phase in of(1, *NAMES).phases:
        times = [action.at_s for action in phase.actions]
        assert times == sorted(times) and times[0] >= plan.START_S


def test_a_saved_plan_is_loaded_unchanged(tmp_path):
    made = of(7, *NAMES)
    made.save(tmp_path / "plans" / "plan.json")
    assert Plan.load(tmp_path / "plans" / "plan.json") == made


def test_every_action_has_a_line():
    made = of(1, "F7", "F27", count=2)
    lines = made.lines()
    assert len(lines) == 6 and "stall redis for 10 s" in lines[0]
    assert lines[3].split()[1] == "+"


def test_an_unknown_row_is_an_error():
    with pytest.raises(KeyError):
        of(1, "F99")
