"""Backtest arithmetic by hand: thresholds, holding, costs, gaps, and how the minutes become
numbers.
"""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from contracts.config.settings import Settings
from tests.support.market import T0, S, dataset
from training.tick.evaluation import backtest, metrics

SETTINGS = Settings()


def rows(prices, symbol="SYNTH:AAAUSD", minutes=None):
    """Test rows of one symbol: entry at each price, exit at the next."""
    minutes = np.arange(len(prices) - 1) if minutes is None else np.array(minutes)
    entry, exit_ = np.array(prices[:-1], dtype=float), np.array(prices[1:], dtype=float)
    columns = {"symbol": [symbol] * len(minutes), "decision_us": T0 + minutes * 60 * S}
    return pl.DataFrame(
        {**columns, "entry_price": entry, "exit_price": exit_, "y": np.log(exit_ / entry)}
    )


def run(frame, forecast_bp, cost_bp=1.0):
    return backtest.backtest_forecast(
        frame, np.array(forecast_bp, dtype=float) * 1e-4, cost_bp, SETTINGS
    )


def held(frame, forecast_bp, cost_bp=1.0):
    return backtest.compute_positions(
        frame, np.array(forecast_bp, dtype=float) * 1e-4, cost_bp, SETTINGS
    )


class TestPositions:
    def test_a_position_opens_above_half_the_cost_and_holds_until_the_opposite(self):
        frame = rows([100] * 8)
        assert held(frame, [0.4, 0.6, 0.1, -0.4, -0.6, 0.5, 0.6])["position"].to_list() == [
            0,
            1,
            1,
            1,
            -1,
            -1,
            1,
        ]

    def test_exactly_half_the_cost_is_not_enough(self):
        assert held(rows([100, 100]), [0.5])["position"].to_list() == [0]

    def test_without_cost_every_forecast_counts_and_zero_holds(self):
        assert held(rows([100] * 4), [1e-9, 0, -1e-9], 0.0)["position"].to_list() == [1, 1, -1]

    def test_a_missing_minute_is_held_through_at_the_next_entry(self):
        frame = rows([100, 101, 999], minutes=[0, 3]).with_columns(
            pl.Series("entry_price", [100.0, 110.0])
        )
        made = held(frame, [1, 1])
        assert made["earned"].to_list() == pytest.approx([0.10, 999 / 110 - 1])
        assert made["traded"].to_list() == [1, 0]

    def test_a_long_silence_closes_at_the_last_exit_and_starts_again(self):
        frame = rows([100, 101, 102], minutes=[0, 60]).with_columns(
            pl.Series("entry_price", [100.0, 500.0])
        )
        made = held(frame, [1, 0])
        assert made["position"].to_list() == [1, 0]
        assert made["earned"].to_list() == pytest.approx([0.01, 0])
        assert made["closed"].to_list() == [1, 0]


class TestPnl:
    def test_flips_cost_twice_and_the_end_is_closed(self):
        made = run(rows([100, 101, 99, 99]), [2, -2, 0], cost_bp=2.0)
        one = 2e-4
        assert made.pnl == pytest.approx([0.01 - one, -(99 / 101 - 1) - 2 * one, 0 - one])
        assert made.report.trades == 2
        assert made.report.turnover == 4  # open 1, flip 2, close 1, within one day
        assert made.report.break_even_bp == pytest.approx((0.01 + 2 / 101) / 4 * 1e4)
        assert made.report.hit_rate == pytest.approx(2 / 3)

    def test_capital_is_split_over_all_symbols(self):
        both = pl.concat([rows([100, 110]), rows([100, 90], "SYNTH:BBBUSD")])
        assert run(both, [1, 0], 0.0).pnl == pytest.approx([0.05])
        assert run(both, [1, -1], 0.0).pnl == pytest.approx([0.10])

    def test_minutes_without_rows_are_zeros_of_the_calendar(self):
        made = run(rows([100, 101, 102], minutes=[0, 4]), [1, 1], 0.0)
        assert list(made.minute_us - T0) == [0, 60 * S, 120 * S, 180 * S, 240 * S]
        assert list(made.pnl[1:4]) == [0, 0, 0]

    def test_break_even_cost_earns_nothing(self):
        data = dataset(days=2)
        forecast = data.frame["flow_imbalance_15m"].to_numpy() * 3e-4
        made = backtest.backtest_forecast(data.frame, forecast, 1.0, SETTINGS)
        made_held = backtest.compute_positions(data.frame, forecast, 1.0, SETTINGS)
        cost = made.report.break_even_bp * 1e-4
        assert (
            made_held["earned"] - cost * (made_held["traded"] + made_held["closed"])
        ).sum() == pytest.approx(0, abs=1e-9)

    def test_row_order_does_not_matter(self):
        data = dataset(days=1).frame.with_row_index()
        forecast = np.random.default_rng(0).standard_normal(len(data)) * 1e-4
        mixed = data.sample(fraction=1, shuffle=True, seed=1)
        one = backtest.backtest_forecast(data, forecast, 1.0, SETTINGS)
        other = backtest.backtest_forecast(
            mixed, forecast[mixed["index"].to_numpy()], 1.0, SETTINGS
        )
        assert one.pnl == pytest.approx(other.pnl)
        assert one.report.ic == pytest.approx(other.report.ic)

    def test_more_cost_at_the_same_trades_never_earns_more(self):
        data = dataset(days=2).frame
        forecast = np.sign(data["flow_imbalance_15m"].to_numpy()) * 1.0  # beyond every threshold
        totals = [
            backtest.backtest_forecast(data, forecast, cost, SETTINGS).report.total_return
            for cost in backtest.COSTS_BP
        ]
        assert totals == sorted(totals, reverse=True)

    def test_the_naive_loop_agrees(self):
        data = (
            dataset(days=1, symbols=("SYNTH:AAAUSD",))
            .frame.sample(fraction=0.6, seed=2)
            .sort("decision_us")
        )
        forecast = np.random.default_rng(4).standard_normal(len(data)) * 1e-4
        expected, position, entries = {}, 0.0, data["entry_price"].to_list()
        times = data["decision_us"].to_list()
        for k, guess in enumerate(forecast):
            if k and times[k] - times[k - 1] > 300 * S:
                position = 0.0
            wanted = math.copysign(1, guess) if abs(guess) > 0.5e-4 else position
            ends = k + 1 == len(times) or times[k + 1] - times[k] > 300 * S
            leave = data["exit_price"][k] if ends else entries[k + 1]
            expected[times[k]] = wanted * (leave / entries[k] - 1) - 1e-4 * (
                abs(wanted - position) + (abs(wanted) if ends else 0)
            )
            position = wanted
        made = backtest.backtest_forecast(data, forecast, 1.0, SETTINGS)
        assert made.pnl == pytest.approx(
            [expected.get(minute, 0.0) for minute in made.minute_us.tolist()], abs=1e-15
        )


class TestReport:
    def test_numbers_of_a_known_series(self):
        data = dataset(days=8).frame
        forecast = data["flow_imbalance_15m"].to_numpy() * 3e-4
        made = backtest.backtest_forecast(data, forecast, 1.0, SETTINGS)
        assert made.report.sharpe == pytest.approx(
            made.pnl.mean() / made.pnl.std() * math.sqrt(525_600)
        )
        daily = made.pnl.reshape(8, 1440).sum(axis=1)
        assert made.report.sharpe_daily == pytest.approx(
            daily.mean() / daily.std() * math.sqrt(365)
        )
        assert 0.3 < made.report.sharpe_daily / made.report.sharpe < 3
        assert made.report.days == 8
        assert made.report.rank_ic == pytest.approx(
            spearmanr(forecast, data["y"].to_numpy()).statistic
        )
        assert made.report.ic == pytest.approx(0.3, abs=0.02)

    def test_never_trading_is_undefined_not_zero(self):
        report = run(rows([100, 101, 102]), [0, 0]).report
        assert report.trades == 0
        assert all(
            math.isnan(value)
            for value in (report.sharpe, report.psr, report.hit_rate, report.break_even_bp)
        )
        assert report.as_dict()["sharpe"] is None

    def test_a_forecast_that_is_not_a_number_poisons_the_result(self):
        assert math.isnan(run(rows([100, 101, 102]), [math.nan, 1]).report.sharpe)

    def test_an_empty_window_has_no_numbers(self):
        report = run(rows([100, 101]).clear(), []).report
        assert (report.trades, report.days) == (0, 0)
        assert math.isnan(report.sharpe)
        assert math.isnan(report.max_drawdown)


class TestMetrics:
    def test_drawdown_counts_from_the_first_euro_and_compounds(self):
        assert metrics.max_drawdown(np.array([-0.1, 0.5])) == pytest.approx(0.1)
        assert metrics.max_drawdown(np.array([0.1, -0.2, -0.25, 1.0])) == pytest.approx(0.4)
        assert metrics.max_drawdown(np.array([0.1, -1.5, 9.0])) == 1.0

    def test_psr_is_its_closed_form(self):
        pnl = np.random.default_rng(1).standard_normal(5000) * 1e-4 + 2e-6
        z = (
            pnl.mean() / pnl.std() * math.sqrt(4999)
        )  # skew 0, kurtosis 3, tiny Sharpe: the denominator is 1
        assert metrics.psr(pnl) == pytest.approx(0.5 * (1 + math.erf(z / math.sqrt(2))), abs=0.01)

    def test_a_deflated_sharpe_falls_with_the_trials(self):
        pnl = np.random.default_rng(2).standard_normal(10_000) * 1e-4 + 3e-6
        own = pnl.mean() / pnl.std()
        tried = [metrics.dsr(pnl, np.append(np.linspace(-0.02, 0.02, n), own)) for n in (0, 4, 100)]
        assert tried[0] == pytest.approx(metrics.psr(pnl))
        assert tried == sorted(tried, reverse=True)

    def test_the_interval_holds_the_estimate_and_repeats_with_its_seed(self):
        pnl = np.random.default_rng(3).standard_normal(5000) * 1e-4 + 5e-6
        low, high = metrics.sharpe_interval(pnl, 7)
        assert low < metrics.sharpe(pnl) < high
        assert (low, high) == metrics.sharpe_interval(pnl, 7)

    @pytest.mark.parametrize("pnl", [[], [0.1], [0.1, 0.1], [0.0, math.nan], [0.0, math.inf]])
    def test_the_undefined_is_nan(self, pnl):
        series = np.array(pnl, dtype=float)
        assert math.isnan(metrics.sharpe(series))
        assert math.isnan(metrics.psr(series))
        assert math.isnan(metrics.dsr(series, series))
        assert all(math.isnan(bound) for bound in metrics.sharpe_interval(series, 1))
