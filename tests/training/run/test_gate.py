"""The parts that all gates share: a check fails closed, and a saved verdict is evaluated again."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.run.gate import GateCheck, GateVerdict

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
CHECKS = st.builds(
    GateCheck, st.sampled_from("abc"), NUMBERS, st.sampled_from((">", ">=", "<")), NUMBERS
)
VERDICTS = st.builds(
    GateVerdict,
    st.lists(CHECKS, max_size=4).map(tuple),
    st.lists(st.sampled_from("abc")).map(tuple),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
PASSED = GateCheck("skill", 0.4, ">", 0.0)
FAILED = GateCheck("error", 0.25, "<", 0.2)


@pytest.mark.parametrize(
    ("relation", "below", "equal", "above"),
    [(">", False, False, True), (">=", False, True, True), ("<", True, False, False)],
)
def test_a_check_compares_the_value_with_its_limit(relation, below, equal, above):
    passed = [GateCheck("x", value, relation, 1.0).passed for value in (0.5, 1.0, 1.5)]
    assert passed == [below, equal, above]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("relation", [">", ">=", "<"])
def test_a_side_that_is_not_finite_fails_every_relation(value, relation):
    assert not GateCheck("x", value, relation, 1.0).passed
    assert not GateCheck("x", 1.0, relation, value).passed


def test_an_unknown_relation_is_a_mistake_and_never_passes():
    with pytest.raises(KeyError):
        _ = GateCheck("x", 1.0, "=<", 2.0).passed


def test_the_reason_has_both_numbers():
    assert FAILED.reason == "error 0.25 is not < 0.2"


def test_a_verdict_without_checks_never_passes():
    assert not GateVerdict((), ("error",)).gate_pass


def test_one_failed_check_or_one_obstacle_refuses():
    assert GateVerdict((PASSED,), ()).gate_pass
    assert not GateVerdict((PASSED, FAILED), ()).gate_pass
    assert not GateVerdict((PASSED,), (), ("the Production model cannot be compared",)).gate_pass


def test_the_thresholds_are_judged_without_the_other_checks():
    assert GateVerdict((PASSED, FAILED), ("skill",)).threshold_pass
    assert not GateVerdict((PASSED, FAILED), ("error",)).threshold_pass


def test_every_reason_is_named_checks_first():
    verdict = GateVerdict((FAILED, PASSED), (), ("no comparison",))
    assert verdict.reasons == ["error 0.25 is not < 0.2", "no comparison"]


@given(VERDICTS)
@settings(max_examples=25)
def test_a_saved_verdict_decides_as_before(verdict):
    saved = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    loaded = GateVerdict.from_dict(saved)
    assert loaded.gate_pass == verdict.gate_pass == saved["gate_pass"]
    assert loaded.threshold_pass == verdict.threshold_pass
    assert loaded.reasons == verdict.reasons == saved["reasons"]


def test_a_saved_verdict_that_was_edited_to_pass_does_not():
    saved = GateVerdict((FAILED,), ("error",)).as_dict() | {"gate_pass": True, "reasons": []}
    assert not GateVerdict.from_dict(saved).gate_pass
