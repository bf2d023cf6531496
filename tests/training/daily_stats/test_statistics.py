"""Daily statistics against closed forms, hand-made days and their edges."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.durations import DAY_US
from lakehouse.schemas import COLUMNS_OF, DAILY, DAILY_CORRELATION, DAILY_PROFILE, DAILY_VOLATILITY
from tests.support.prices import D0, SIGMA, brownian, ticks, trades
from training.daily_stats import correlation, rows, volatility, volume_profile

SEEDS = range(6)


class TestVolatility:
    def test_a_brownian_day_has_its_volatility_by_all_three(self):
        found = [volatility.daily_volatility(brownian(seed)[0]) for seed in SEEDS]
        for name in ("rv_5m", "tsrv", "bipower"):
            assert np.mean([each[name] for each in found]) == pytest.approx(SIGMA, rel=0.04), name

    def test_bounce_blows_up_the_sum_over_ticks_and_leaves_two_scales_alone(self):
        day = brownian(3, rates=(5.0,), noise=2e-4)[0]
        naive = math.sqrt(float((np.diff(day.log_prices) ** 2).sum()))
        assert naive > 4 * SIGMA
        assert volatility.daily_volatility(day)["tsrv"] == pytest.approx(SIGMA, rel=0.08)

    def test_a_jump_moves_realised_and_hardly_bipower_volatility(self):
        day = brownian(4)[0]
        jumped = trades(
            (day.times_us - D0) / 1e6,
            np.where(day.times_us < D0 + DAY_US // 2, day.prices, day.prices * math.exp(2 * SIGMA)),
        )
        assert volatility.daily_volatility(jumped)["rv_5m"] == pytest.approx(
            math.sqrt(5) * SIGMA, rel=0.08
        )
        assert volatility.daily_volatility(jumped)["bipower"] < 1.5 * SIGMA

    def test_half_hours_show_when_it_moved(self):
        """A price that only moves from 10:00 to 10:30, by one step of 1 % a quarter of an hour into
        it.
        """
        seconds = np.arange(0, 86_400, 20)
        day = trades(seconds, np.where(seconds < 36_900, 100.0, 101.0))
        curve = volatility.half_hour_curve(day)
        assert curve["rv_5m"][20] == pytest.approx(math.log(1.01))
        assert np.delete(curve["rv_5m"], 20).max() == 0
        assert curve["trades"].tolist() == [90] * 48

    def test_a_half_hour_without_trades_has_no_volatility(self):
        curve = volatility.half_hour_curve(trades([10, 20, 7200], [1, 2, 2]))
        assert np.flatnonzero(~np.isnan(curve["rv_5m"])).tolist() == [0, 4]
        assert curve["volume"].sum() == 3

    @pytest.mark.parametrize("count", [2, 9, 10, 2000])
    def test_a_price_that_never_moves_has_volatility_zero(self, count):
        found = volatility.daily_volatility(
            trades(np.linspace(0, 86_399, count), np.full(count, 7.0))
        )
        assert found["rv_5m"] == found["bipower"] == 0
        assert found["tsrv"] == 0 or count < volatility.TRADES_MIN

    def test_noise_above_the_signal_is_not_a_number_rather_than_a_negative_variance(self):
        assert math.isnan(volatility.two_scale_variance(np.tile([0.0, 1.0], 500)))


class TestProfile:
    def test_a_day_by_hand(self):
        """Steps of 0.01 at 20: a bucket of 5 bp is one step. Volume 1 2 4 3 2 at 19.98 … 20.02; 70
        % of 12 is more than 4 + 3.
        """
        prices = [20.0, 19.98, 19.99, 20.0, 20.01, 20.02]
        found = volume_profile.build_profile(
            trades(range(6), prices, [3, 1, 2, 1, 3, 2], [1, 1, -1, 0, 1, -1])
        )
        np.testing.assert_allclose(found.low, [19.98, 19.99, 20.0, 20.01, 20.02])
        np.testing.assert_allclose(found.high, found.low)
        assert found.volume.tolist() == [1, 2, 4, 3, 2]
        assert found.bought.tolist() == [1, 0, 3, 3, 0]
        assert found.trades.tolist() == [1, 1, 2, 1, 1]
        assert found.poc_price == pytest.approx(20.0)
        assert (found.first, found.last) == (1, 3)  # of the equals 19.99 and 20.02 the lower one
        assert found.value_area_width == pytest.approx(math.log(20.01 / 19.99))

    def test_buckets_are_five_basis_points_in_whole_steps(self):
        prices = 1000 + 0.25 * np.arange(40)
        found = volume_profile.build_profile(trades(range(40), prices))
        assert volume_profile.tick_size(prices) == 0.25
        np.testing.assert_allclose(
            found.high - found.low, 0.25
        )  # two steps of 0.25 make 5 bp of 1,000
        assert found.trades.tolist() == [2] * 20

    @pytest.mark.parametrize(
        ("prices", "tick"),
        [([100, 150], 1), ([7.0], 1), ([0.1, 0.2], 0.1), ([0.123456789], 1e-9), ([1 / 3], 1e-9)],
    )
    def test_few_prices_have_the_step_of_their_decimals(self, prices, tick):
        assert volume_profile.tick_size(np.array(prices)) == pytest.approx(tick)

    @given(
        st.lists(st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e12)), min_size=1, max_size=40)
    )
    def test_any_day_has_every_trade_in_one_bucket_and_most_volume_in_the_value_area(self, made):
        prices, sizes = np.array(made).T
        found = volume_profile.build_profile(trades(range(len(made)), prices, sizes))
        assert found.trades.sum() == len(made)
        assert found.volume.sum() == pytest.approx(sizes.sum())
        assert found.volume[found.first : found.last + 1].sum() >= 0.7 * sizes.sum() * (1 - 1e-9)
        assert found.first <= found.poc <= found.last
        assert (np.diff(found.low) > 0).all()
        assert found.value_area_width <= math.log(prices.max() / prices.min()) + 1e-9

    @given(
        st.lists(st.tuples(st.integers(1_000, 1_100), st.integers(1, 50)), min_size=1, max_size=15)
    )
    def test_the_value_area_is_that_of_a_naive_search_over_all_levels(self, made):
        prices = [price for price, _ in made]
        found = volume_profile.build_profile(
            trades(range(len(made)), prices, [size for _, size in made])
        )
        assert found.value_area_width == pytest.approx(_naive_width(made), abs=1e-12)


def _naive_width(made):
    """Width of the value area of (price, size), in steps of 1, by a naive search."""
    height = max(1, math.ceil(made[0][0] * 5e-4))
    volume = {}
    for price, size in made:
        volume[price // height] = volume.get(price // height, 0) + size
    order = sorted(volume)
    poc = max(order, key=lambda bucket: (volume[bucket], -bucket))
    area = [poc]
    while sum(volume[bucket] for bucket in area) < 0.7 * sum(volume.values()) - 1e-9:
        below = [bucket for bucket in order if bucket < area[0]][-1:]
        above = [bucket for bucket in order if bucket > area[-1]][:1]
        by_volume = sorted(below + above, key=lambda bucket: (-volume[bucket], bucket))
        area = sorted([*area, by_volume[0]])
    lowest = max(area[0] * height, min(price for price, _ in made))
    highest = min((area[-1] + 1) * height - 1, max(price for price, _ in made))
    return math.log(highest / lowest)


class TestCorrelation:
    def test_hayashi_yoshida_finds_what_one_second_prices_hide(self):
        """Two assets of correlation 0.5 that trade every 15 s: the Epps effect."""
        pairs = [brownian(seed, (1 / 15, 1 / 15), 0.5) for seed in SEEDS]
        found = np.mean([correlation.hayashi_yoshida(pair)[0, 1] for pair in pairs])
        alongside = np.mean([correlation.five_minute_correlation(pair)[0, 1] for pair in pairs])
        hidden = np.mean(
            [
                correlation.previous_tick_correlation(
                    np.stack([each.log_price_grid(1) for each in pair]), 1
                )[0, 1]
                for pair in pairs
            ]
        )
        assert found == pytest.approx(0.5, abs=0.04)
        assert alongside == pytest.approx(0.47, abs=0.05)
        assert hidden < 0.1

    def test_bounce_does_not_hide_it(self):
        found = correlation.hayashi_yoshida(brownian(5, (3.0, 1.0), 0.5, noise=2e-4))[0, 1]
        assert found == pytest.approx(0.5, abs=0.08)

    @given(
        st.lists(st.integers(0, 60), min_size=1, max_size=12),
        st.lists(st.integers(0, 60), min_size=1, max_size=12),
        st.integers(0, 99),
    )
    def test_the_telescoped_sum_is_the_double_one(self, first, second, seed):
        rng = np.random.default_rng(seed)
        one, other = (
            trades(sorted(at), np.exp(rng.standard_normal(len(at)))) for at in (first, second)
        )
        assert correlation.hayashi_yoshida_covariance(one, other) == pytest.approx(
            _double_sum(one, other), abs=1e-9
        )
        assert correlation.hayashi_yoshida_covariance(one, other) == pytest.approx(
            correlation.hayashi_yoshida_covariance(other, one), abs=1e-9
        )

    def test_a_matrix_that_is_not_a_correlation_becomes_the_nearest_one(self):
        """Three assets cannot all be opposed."""
        made = correlation.nearest_correlation(
            np.array([[1.0, -0.9, -0.9], [-0.9, 1.0, -0.9], [-0.9, -0.9, 1.0]])
        )
        assert np.linalg.eigvalsh(made)[0] >= -1e-12
        np.testing.assert_allclose(made[np.triu_indices(3, 1)], -0.5)
        np.testing.assert_allclose(np.diag(made), 1)
        same = np.array([[1.0, 0.3], [0.3, 1.0]])
        assert correlation.nearest_correlation(same) is same

    def test_a_symbol_that_does_not_move_has_none(self):
        still = trades(range(100), np.full(100, 5.0))
        moving = brownian(1, (0.1, 0.1), 0.5)
        for matrix in (
            correlation.hayashi_yoshida([*moving, still]),
            correlation.five_minute_correlation([*moving, still]),
        ):
            assert np.isnan(matrix[2]).all()
            assert not np.isnan(matrix[:2, :2]).any()


def _double_sum(one, other):
    """Hayashi and Yoshida's estimator as it is written."""
    total = 0.0
    sides = [
        {int(t): float(x) for t, x in zip(each.times_us, each.log_prices, strict=True)}
        for each in (one, other)
    ]
    (a, x), (b, y) = ((list(each), list(each.values())) for each in sides)
    for i in range(1, len(a)):
        for j in range(1, len(b)):
            if max(a[i - 1], b[j - 1]) < min(a[i], b[j]):
                total += (x[i] - x[i - 1]) * (y[j] - y[j - 1])
    return total


class TestRows:
    def test_every_table_has_its_columns_and_no_nan(self):
        made = rows.daily_rows(_keyed(ticks([0])), D0)
        for table, frame in made.items():
            assert sorted(frame.columns) == sorted(name for name, _ in COLUMNS_OF[table])
            assert frame["event_time"].dt.epoch("us").unique().to_list() == [D0]
            assert frame["known_at_us"].unique().to_list() == [D0 + DAY_US]
            assert (
                sum(
                    frame[name].is_nan().sum()
                    for name, dtype in frame.schema.items()
                    if dtype == pl.Float64
                )
                == 0
            )
        assert list(made)[-1] == DAILY
        assert made[DAILY_VOLATILITY].height == 2 * 48
        assert made[DAILY_CORRELATION].select("symbol", "other").rows() == [
            ("V:A", "V:A"),
            ("V:A", "V:B"),
            ("V:B", "V:B"),
        ]

    def test_the_headline_adds_up_with_the_ticks_and_the_profile(self):
        day = _keyed(ticks([0]))
        made = rows.daily_rows(day, D0)
        for line in made[DAILY].iter_rows(named=True):
            own = day.filter(key=line["symbol"])
            bought = own.filter(side=1)["size"].sum()
            bars = made[DAILY_PROFILE].filter(symbol=line["symbol"])
            assert line["trades"] == own.height == bars["trades"].sum()
            assert (
                line["volume"]
                == pytest.approx(own["size"].sum())
                == pytest.approx(bars["volume"].sum())
            )
            assert line["buy_share"] == pytest.approx(bought / own["size"].sum())
            assert bars["buy_volume"].sum() == pytest.approx(bought)
            assert line["low"] <= line["vwap"] <= line["high"]
            assert line["value_area_low"] <= line["poc"] <= line["value_area_high"]
            assert bars.filter("is_poc").height == 1

    def test_one_tick_has_prices_and_no_volatility(self):
        made = rows.daily_rows(_keyed(ticks([0])).head(1), D0)
        (line,) = made[DAILY].to_dicts()
        assert line["open"] == line["close"] == line["poc"]
        assert line["log_return"] == line["value_area_width"] == 0
        assert [line[name] for name in ("rv_5m", "tsrv", "bipower")] == [None] * 3
        assert made[DAILY_VOLATILITY]["rv_5m"].null_count() == 48
        assert made[DAILY_CORRELATION]["hayashi_yoshida"].to_list() == [None]

    def test_no_ticks_have_no_rows(self):
        for table, frame in rows.daily_rows(_keyed(ticks([0])).clear(), D0).items():
            assert frame.is_empty()
            assert frame.schema == pl.Schema(rows.SCHEMAS[table])

    def test_without_known_sides_there_is_no_share_of_buyers(self):
        made = rows.daily_rows(_keyed(ticks([0])).with_columns(side=pl.lit(0, pl.Int32)), D0)
        assert made[DAILY]["buy_share"].null_count() == 2

    def test_rows_do_not_depend_on_the_order_of_the_ticks(self):
        day = _keyed(ticks([0])).with_columns(
            event_time_us=pl.col("event_time_us") // 10**8 * 10**8, seq=pl.lit(0)
        )
        one, other = (
            rows.daily_rows(day, D0),
            rows.daily_rows(day.sample(fraction=1, shuffle=True, seed=1), D0),
        )
        assert all(one[table].equals(other[table]) for table in one)


def _keyed(frame):
    return frame.with_columns(key=pl.col("venue") + ":" + pl.col("symbol"))
