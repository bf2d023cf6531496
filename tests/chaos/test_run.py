"""Which actions go together, what is compared, and what a line about an outcome says."""

from tests.chaos.count import Counts
from tests.chaos.faults import Outcome
from tests.chaos.plan import Action
from tests.chaos.predict_client import CUT, Answer
from tests.chaos.run import PhaseResult, _add_answers, describe, grouped, whole_minutes

MINUTE_US = 60_000_000


def test_joined_actions_are_one_group():
    actions = [Action(float(n), "kill", "redis", joined=n in (1, 3)) for n in range(5)]
    assert [[int(a.at_s) for a in group] for group in grouped(actions)] == [[0, 1], [2, 3], [4]]
    assert list(grouped([])) == []


def test_only_whole_minutes_are_compared():
    assert whole_minutes(MINUTE_US + 1, 4 * MINUTE_US) == (2 * MINUTE_US, 4 * MINUTE_US)
    assert whole_minutes(MINUTE_US, 2 * MINUTE_US - 1) == (MINUTE_US, MINUTE_US)


def test_a_line_says_when_what_and_whether_it_came_back():
    action = Action(8.0, "kill", "redis")
    back = describe(Outcome(action, 110.0, 112.0, 2.0), 100.0)
    assert back == "   10.0 s  kill redis: back after 2.0 s"
    away = describe(Outcome(action, 110.0, 350.0, None, False, "no answer"), 100.0)
    assert away == "   10.0 s  kill redis: DID NOT COME BACK no answer"
    noted = describe(Outcome(action, 110.0, 112.0, None, True, "0 restarts"), 100.0)
    assert noted == "   10.0 s  kill redis (0 restarts)"


def test_answers_belong_to_the_faults_or_to_the_rest_of_the_phase(tmp_path):
    answers = [Answer(at, at, 200) for at in (5.0, 11.0, 12.0, 15.0, 25.0)]
    (tmp_path / "base").write_text("".join(one.line() for one in answers))
    (tmp_path / "more").write_text(Answer(11.0, 1.0, CUT).line())
    outcomes = [Outcome(Action(1.0, "kill", "api"), 10.5, 12.5, 2.0)]
    result = PhaseResult("F1", outcomes, Counts())
    _add_answers(result, tmp_path / "base", tmp_path / "more", (10.0, 20.0))
    assert (result.during.p99_ms, result.calm.p99_ms) == (12.0, 15.0)
    assert result.during.statuses == {200: 2} and result.calm.statuses == {200: 1}
    assert result.overload.statuses == {CUT: 1}
