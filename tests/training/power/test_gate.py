"""The double gate: both limits count, a tie is not a pass, and what is undefined is refused."""

import math

import pytest

from training.power.gate import evaluate_power_gate, skill_score

GOOD = {
    "rmse": 119.0,
    "train_std": 1000.0,
    "naive_24_rmse": 184.0,
    "naive_168_rmse": 167.0,
    "test_days": 56,
}


def test_better_than_both_limits_passes():
    verdict = evaluate_power_gate(**GOOD)
    assert verdict.gate_pass
    assert verdict.threshold_pass
    assert {check.name: round(check.value, 3) for check in verdict.checks} == {
        "rmse_over_train_std": 0.119,
        "skill": round(1 - 119 / 167, 3),
        "test_days": 56,
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rmse": 175.0, "naive_168_rmse": 154.0}, "skill -0.136364 is not > 0"),
        ({"naive_24_rmse": 100.0}, "skill -0.19 is not > 0"),
        ({"rmse": 167.0}, "skill 0 is not > 0"),
        (
            {"rmse": 200.0, "naive_168_rmse": 300.0, "naive_24_rmse": 300.0},
            "rmse_over_train_std 0.2 is not < 0.2",
        ),
        ({"test_days": 27}, "test_days 27 is not >= 28"),
        ({"train_std": 0.0}, "rmse_over_train_std nan is not < 0.2"),
        ({"naive_24_rmse": 0.0}, "skill nan is not > 0"),
        ({"naive_24_rmse": math.nan}, "skill nan is not > 0"),
        ({"naive_168_rmse": math.inf}, "skill nan is not > 0"),
        ({"test_days": math.nan}, "test_days nan is not >= 28"),
    ],
)
def test_each_reason_alone_refuses(change, reason):
    verdict = evaluate_power_gate(**{**GOOD, **change})
    assert verdict.reasons == [reason]
    assert not verdict.gate_pass
    assert verdict.threshold_pass == (not reason.startswith("rmse"))


def test_a_model_without_an_error_is_refused_by_both():
    assert len(evaluate_power_gate(**{**GOOD, "rmse": math.nan}).reasons) == 2


def test_skill_is_against_the_better_of_both():
    assert skill_score(50, 100, 200) == skill_score(50, 200, 100) == 0.5
