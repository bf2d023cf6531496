"""The model card of a power model says what was measured, and why it was refused."""

import polars as pl
import pytest

from contracts.durations import DAY_US, HOUR_US
from training.power.card import write_card
from training.power.features import FEATURES
from training.power.gate import evaluate_power_gate
from training.power.split import DataSplit

START_US = 17_200 * DAY_US  # 2017-02-03
METRICS = {f"rmse_over_train_std.{name}": 0.1 for name in ("model", "naive_24", "naive_168")}
GOOD = evaluate_power_gate(100.0, 1000.0, 200.0, 300.0, 30)
BAD = evaluate_power_gate(400.0, 1000.0, 200.0, 300.0, 30)


def hours(first, count):
    times_us = [START_US + (first + hour) * HOUR_US for hour in range(count)]
    return pl.DataFrame({"event_time_us": times_us})


PARTS = DataSplit(hours(0, 1000), hours(1000, 48), hours(1048, 24))


def card_of(verdict, series="zone1", metrics=METRICS):
    return write_card(series, PARTS, verdict, metrics, {"num_leaves": 31}, "ab" * 32)


def test_a_model_that_passed_says_so():
    card = card_of(GOOD)
    assert card.startswith("# Power consumption, day ahead: zone1\n\nPassed the gate.")
    assert "Refused" not in card


def test_a_refused_model_lists_each_reason():
    card = card_of(BAD)
    assert "**Refused by the gate**, hence not registered:" in card
    assert len(BAD.reasons) == 2
    assert all(f"\n- {reason}" in card for reason in BAD.reasons)


@pytest.mark.parametrize("verdict", [GOOD, BAD])
def test_every_check_is_a_row_with_its_limit(verdict):
    card = card_of(verdict)
    for check in verdict.checks:
        mark = "yes" if check.passed else "**no**"
        row = f"| {check.name} | {check.value:.4g} | {check.relation} {check.limit:g} | {mark} |"
        assert row in card


def test_the_parts_are_shown_with_their_first_and_last_hour():
    card = card_of(GOOD)
    assert "- fit: 2017-02-03T00:00:00+00:00 to 2017-03-16T15:00:00+00:00, 1,000 hours" in card
    assert "48 hours" in card
    assert "24 hours" in card


def test_features_parameters_and_data_can_be_recognised():
    card = card_of(GOOD)
    assert ", ".join(FEATURES) in card
    assert "{'num_leaves': 31}" in card
    assert f"`{'ab' * 32}`" in card


def test_the_errors_of_all_three_forecasts_are_compared():
    metrics = {
        "rmse_over_train_std.model": 0.0914,
        "rmse_over_train_std.naive_24": 0.25,
        "rmse_over_train_std.naive_168": 0.31,
    }
    card = card_of(GOOD, metrics=metrics)
    assert "| model | 0.091 |\n| naive_24 | 0.250 |\n| naive_168 | 0.310 |" in card
