"""The gate fails closed, says why, and never turns against a better number."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tick.gate import (
    DAYS_MIN,
    DRAWDOWN_MAX,
    PSR_MIN,
    SHARPE_MIN,
    TRADES_MIN,
    evaluate_tick_gate,
)

GOOD = {"sharpe": 3.0, "max_drawdown": 0.05, "psr": 0.99, "days": 7, "trades": 500}
any_float = st.floats(allow_nan=True, allow_infinity=True)


def test_the_thresholds_are_the_required_ones():
    assert (SHARPE_MIN, DRAWDOWN_MAX, PSR_MIN, DAYS_MIN, TRADES_MIN) == (1.5, 0.20, 0.95, 7, 100)


def test_a_good_model_passes_without_a_reason():
    verdict = evaluate_tick_gate(**GOOD)
    assert verdict.gate_pass
    assert verdict.threshold_pass
    assert verdict.reasons == []


@pytest.mark.parametrize(
    ("field", "just_enough", "just_not"),
    [
        ("sharpe", math.nextafter(1.5, 2), 1.5),
        ("max_drawdown", math.nextafter(0.2, 0), 0.2),
        ("psr", 0.95, math.nextafter(0.95, 0)),
        ("days", 7, 6),
        ("trades", 100, 99),
        ("production_sharpe", 3.0, math.nextafter(3.0, 4)),
    ],
)
def test_each_edge(field, just_enough, just_not):
    assert evaluate_tick_gate(**GOOD | {field: just_enough}).gate_pass
    refused = evaluate_tick_gate(**GOOD | {field: just_not})
    assert not refused.gate_pass
    assert len(refused.reasons) == 1
    assert refused.threshold_pass == (field not in ("sharpe", "max_drawdown"))


@pytest.mark.parametrize("field", [*GOOD, "production_sharpe"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_a_finite_number_is_refused(field, value):
    verdict = evaluate_tick_gate(**GOOD | {field: value})
    assert not verdict.gate_pass
    assert str(value) in verdict.reasons[0]


def test_luck_passes_the_thresholds_and_not_the_gate():
    verdict = evaluate_tick_gate(sharpe=8.1, max_drawdown=0.03, psr=0.87, days=7, trades=600)
    assert verdict.threshold_pass
    assert not verdict.gate_pass
    assert verdict.reasons == ["psr 0.87 is not >= 0.95"]


def test_an_obstacle_refuses_a_model_with_perfect_numbers():
    verdict = evaluate_tick_gate(**GOOD, obstacles=("the Production model cannot be compared",))
    assert not verdict.gate_pass
    assert verdict.reasons == ["the Production model cannot be compared"]


@given(
    any_float,
    any_float,
    any_float,
    any_float,
    any_float,
    st.none() | any_float,
    st.floats(0, 100),
    st.floats(0, 1),
)
def test_a_higher_sharpe_and_a_lower_drawdown_never_hurt(
    sharpe, drawdown, psr, days, trades, production, more, less
):
    if evaluate_tick_gate(sharpe, drawdown, psr, days, trades, production).gate_pass:
        assert evaluate_tick_gate(
            sharpe + more, drawdown - less, psr, days, trades, production
        ).gate_pass


@given(any_float, any_float, any_float, any_float, any_float, st.none() | any_float)
def test_gate_pass_implies_every_condition_and_the_verdict_is_json(
    sharpe, drawdown, psr, days, trades, production
):
    verdict = evaluate_tick_gate(sharpe, drawdown, psr, days, trades, production)
    if verdict.gate_pass:
        assert sharpe > 1.5
        assert drawdown < 0.2
        assert psr >= 0.95
        assert days >= 7
        assert trades >= 100
        assert production is None or sharpe >= production
        assert verdict.threshold_pass
    else:
        assert verdict.reasons
    assert (
        json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["gate_pass"] == verdict.gate_pass
    )
