"""Drift: nothing for the same rows, an alert for shifted ones, a retrain for the reasons that
count, and never twice a day.
"""

import json
import math
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from contracts.errors import DatasetError
from contracts.features import CORE
from tests.support.market import DAY, T0, dataset
from training.tick import drift
from training.tick.drift import PREDICTION, ColumnDrift, IcEstimate

NO_IC = IcEstimate(math.nan, math.nan, math.nan, 0)
ROWS = drift.ROWS_MIN


@pytest.fixture(scope="module")
def frame():
    """Two days of two symbols: normal features."""
    return dataset(days=2).frame


def lines_of(known, now):
    """Through JSON and back, as an artifact is."""
    return {line.name: line for line in drift.compare_columns(json.loads(json.dumps(known)), now)}


def column(values, name=CORE[0]):
    return pl.DataFrame({name: pl.Series(values, dtype=pl.Float64)})


class TestLines:
    def test_the_same_rows_have_no_drift(self, frame):
        lines = lines_of(
            drift.build_reference(frame, frame["y"].to_numpy()),
            frame.with_columns(pl.col("y").alias(PREDICTION)),
        )
        assert list(lines) == [*CORE, PREDICTION]
        for line in lines.values():
            assert (line.psi, line.level, line.nulls) == (0, "ok", 0)
            assert line.ks <= 1 / drift.POINTS

    def test_other_rows_of_the_same_kind_have_next_to_none(self, frame):
        slow = "flow_imbalance_15m"  # so autocorrelated that two days of it do differ
        for name, line in lines_of(
            drift.build_reference(frame), dataset(days=2, seed=8).frame
        ).items():
            assert line.psi < 0.02 or name == slow

    @pytest.mark.parametrize(("shift", "level"), [(0.05, "ok"), (0.4, "warn"), (1.0, "alert")])
    def test_a_shift_is_seen_by_its_size(self, frame, shift, level):
        line = lines_of(drift.build_reference(frame), frame.with_columns(pl.col(CORE[0]) + shift))[
            CORE[0]
        ]
        assert line.level == level
        # of two normals apart by a shift: KS 2Φ(shift/2) − 1 and, for very fine bins, PSI shift²
        assert line.ks == pytest.approx(math.erf(shift / 2 / math.sqrt(2)), abs=0.03)
        assert line.psi == pytest.approx(shift**2, rel=0.25, abs=0.005)

    def test_nulls_are_a_separate_bin(self):
        values = np.random.default_rng(1).standard_normal(4000)
        known = drift.build_reference(column(values))
        line = lines_of(known, column([None if i % 2 else x for i, x in enumerate(values)]))[
            CORE[0]
        ]
        assert (line.nulls, line.level) == (0.5, "alert")
        assert line.ks < 0.05  # what is left is as before
        nan = lines_of(known, column([math.nan if i % 2 else x for i, x in enumerate(values)]))[
            CORE[0]
        ]
        assert nan == line

    @pytest.mark.parametrize("moved", [-1.0, 1.0])
    def test_a_constant_that_moves_is_seen_on_either_side(self, moved):
        known = drift.build_reference(column(np.zeros(ROWS)))
        assert lines_of(known, column(np.zeros(ROWS)))[CORE[0]].psi == 0
        assert lines_of(known, column(np.full(ROWS, moved)))[CORE[0]].level == "alert"

    def test_a_column_without_numbers_is_judged_by_its_nulls(self):
        nothing = column([None] * ROWS)
        known = drift.build_reference(nothing)
        assert lines_of(known, nothing)[CORE[0]].psi == 0
        line = lines_of(known, column(np.ones(ROWS)))[CORE[0]]
        assert line.level == "alert"
        assert math.isnan(line.ks)

    def test_too_few_rows_are_said(self, frame):
        with pytest.raises(DatasetError, match="too few"):
            drift.compare_columns(drift.build_reference(frame), frame.head(ROWS - 1))

    @given(
        st.lists(
            st.sampled_from([None, 0.0, 1.0, -1e9, 1e300]) | st.floats(), min_size=1, max_size=30
        )
    )
    @example([-1.7976931348623157e308])  # no double lies below it
    def test_psi_of_any_column_is_zero_against_itself_and_the_naive_sum_against_another(
        self, values
    ):
        values = (values * ROWS)[:ROWS]
        known = drift.build_reference(column(values))
        same = lines_of(known, column(values))[CORE[0]]
        assert same.psi == 0
        assert math.isnan(same.ks) or same.ks == 0
        other = np.arange(ROWS, dtype=float)
        drifted = lines_of(known, column(other))[CORE[0]].psi
        assert drifted == pytest.approx(
            _naive_psi(known["columns"][CORE[0]]["edges"], values, other)
        )

    @given(
        st.lists(st.integers(-3, 3), min_size=5, max_size=40),
        st.lists(st.integers(-3, 3), min_size=5, max_size=40),
    )
    def test_the_distance_is_scipys(self, one, other):
        one, other = np.sort(np.array(one, dtype=float)), np.sort(np.array(other, dtype=float))
        wanted = ks_2samp(one, other, method="asymp").statistic
        assert drift.kolmogorov_smirnov(one, other)[0] == pytest.approx(wanted)


def _naive_psi(edges, expected, actual):
    """PSI by loops over bins: ]edge before, edge], the last one unbounded, and one for NULLs."""

    def shares(values):
        numbers = [
            x for x in values if x is not None and math.isfinite(x) and x > -sys.float_info.max
        ]
        bounds = list(zip([-math.inf, *edges], [*edges, math.inf], strict=True))
        counts = [sum(low < x <= high for x in numbers) for low, high in bounds]
        return [count / len(values) for count in [*counts, len(values) - len(numbers)]]

    total = 0.0
    for e, a in zip(shares(expected), shares(actual), strict=True):
        e, a = max(e, drift.SHARE_MIN), max(a, drift.SHARE_MIN)
        total += (a - e) * math.log(a / e)
    return total


class TestVerdict:
    def verdict(self, alerts, forecast=0.0, ic=NO_IC):
        psis = dict.fromkeys(CORE, 0.0) | dict.fromkeys(alerts, 0.3) | {PREDICTION: forecast}
        return drift.evaluate_drift(
            tuple(ColumnDrift(name, psi, 0.0, 1.0, 0.0) for name, psi in psis.items()), ic
        )

    def test_three_features_ask_for_a_retrain_and_two_do_not(self):
        assert not self.verdict(CORE[:2]).retrain
        assert self.verdict(CORE[:3]).reasons[0].startswith("3 core features")

    def test_the_hour_of_the_day_does_not_count(self):
        assert not self.verdict([*CORE[:2], "hour_sin", "hour_cos"]).retrain

    def test_the_predictions_alone_do(self):
        assert not self.verdict([], forecast=drift.PSI_ALERT).retrain
        assert "predictions" in self.verdict([], forecast=0.26).reasons[0]

    def test_an_ic_below_zero_does_and_an_unclear_one_does_not(self):
        assert "IC" in self.verdict([], ic=IcEstimate(-0.05, -0.08, -0.02, 5)).reasons[0]
        assert not self.verdict([], ic=IcEstimate(-0.05, -0.11, 0.01, 5)).retrain
        assert not self.verdict([], ic=NO_IC).retrain

    def test_json_has_no_nan(self):
        told = json.loads(json.dumps(self.verdict(CORE[:3]).as_dict(), allow_nan=False))
        assert told["retrain"] is True
        assert told["columns"][0] == {
            "name": CORE[0],
            "psi": 0.3,
            "ks": 0.0,
            "p_value": 1.0,
            "nulls": 0.0,
            "level": "alert",
        }
        assert told["ic"]["value"] is None

    def test_a_day_lies_between_two_retrains(self):
        asked, day_us = self.verdict(CORE[:3]), drift.COOLDOWN_US
        assert drift.is_retrain_due(asked, None, 0)
        assert drift.is_retrain_due(asked, 0, day_us)
        assert not drift.is_retrain_due(asked, 1, day_us)
        assert not drift.is_retrain_due(self.verdict([]), None, day_us)


class TestIc:
    def forecasts(self, strength, days=6, symbols=2):
        data = dataset(
            days=days, symbols=[f"SYNTH:{i}" for i in range(symbols)], strength=abs(strength)
        ).frame
        flow = data["flow_imbalance_15m"].to_numpy() * np.sign(strength or 1)
        return data["decision_us"].to_numpy(), flow, data["y"].to_numpy()

    @pytest.mark.parametrize("strength", [0.2, -0.2])
    def test_a_planted_correlation_is_found_with_its_sign(self, strength):
        found = drift.estimate_ic(*self.forecasts(strength), seed=1)
        assert found.value == pytest.approx(strength, abs=0.03)
        assert found.low < strength < found.high
        assert (found.high < 0) == (strength < 0)
        assert found == drift.estimate_ic(*self.forecasts(strength), seed=1)

    def test_without_any_the_interval_holds_zero(self):
        found = drift.estimate_ic(*self.forecasts(0.0), seed=1)
        assert found.low < 0 < found.high

    def test_only_the_last_five_days_count(self):
        times, flow, y = self.forecasts(0.2, days=9)
        turned = np.where(times < T0 + 4 * DAY, -flow, flow)
        assert drift.estimate_ic(times, turned, y, seed=1).value == pytest.approx(0.2, abs=0.03)

    def test_four_days_or_a_constant_forecast_have_no_interval(self):
        times, flow, y = self.forecasts(0.2, days=4)
        assert math.isnan(drift.estimate_ic(times, flow, y, seed=1).high)
        times, flow, y = self.forecasts(0.2, days=5, symbols=1)
        assert math.isnan(drift.estimate_ic(times, np.zeros(len(y)), y, seed=1).high)
