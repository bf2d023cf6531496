"""The label and the as-of join, by hand: what a decision may know, what it is measured by, and what
is dropped why.
"""

import math

import numpy as np
import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.features import CORE
from contracts.windows import LEVELS
from tests.support.market import DAY, T0, S, feature_rows, join, ticks
from training.tick.data import dataset
from training.tick.data.dataset import LABEL_COLUMNS, SCHEMA, build_dataset

SETTINGS = Settings()


def reasons(decisions_s, times_s):
    made = dataset.label_decisions(
        T0 + np.array(decisions_s) * S, ticks(times_s, np.full(len(times_s), 100.0)), SETTINGS
    )
    return made["label_reason"].to_list()


class TestLabel:
    def test_entry_and_exit_are_the_first_trades_strictly_after_five_and_sixty_five_seconds(self):
        market = ticks([4, 5, 5.000001, 64, 65, 65.5, 70], [1, 2, 100, 3, 4, 110, 5])
        row = dataset.label_decisions(np.array([T0]), market, SETTINGS).row(0, named=True)
        assert (row["entry_price"], row["exit_price"]) == (100, 110)
        assert (row["entry_us"], row["exit_us"]) == (T0 + 5_000_001, T0 + 65_500_000)
        assert row["y"] == math.log(1.1)

    def test_an_exit_is_the_next_decisions_entry(self):
        rng = np.random.default_rng(3)
        times = np.cumsum(rng.exponential(4, 2000))
        market = ticks(times, 100 + rng.standard_normal(2000).cumsum() * 0.01)
        made = dataset.label_decisions(T0 + np.arange(100) * 60 * S, market, SETTINGS)
        assert made["exit_us"][:-1].to_list() == made["entry_us"][1:].to_list()

    def test_trades_of_one_instant_keep_their_sequence(self):
        made = build_dataset(
            ticks([0, 6, 6, 66, 66, 200], [1, 10, 20, 30, 40, 9]).sample(
                fraction=1, shuffle=True, seed=1
            ),
            feature_rows([0]),
            T0,
            T0 + S,
            SETTINGS,
        )
        assert made.frame.select("entry_price", "exit_price").row(0) == (10, 30)

    @pytest.mark.parametrize(("entry_s", "reason"), [(35, ""), (35.000001, "late_entry")])
    def test_an_entry_more_than_thirty_seconds_late_is_none(self, entry_s, reason):
        assert reasons([0], [entry_s, 66, 120]) == [reason]

    def test_no_trade_after_the_exit_is_due_is_not_a_label(self):
        assert reasons([0], [6, 65]) == ["no_exit"]
        assert reasons([0], [1]) == ["late_entry"]

    @pytest.mark.parametrize(("exit_s", "reason"), [(365, ""), (365.1, "halt")])
    def test_a_silence_longer_than_features_stay_usable_is_a_halt(self, exit_s, reason):
        assert reasons([0], [6, exit_s]) == [reason]

    def test_a_session_break_drops_the_decisions_into_and_inside_it_only(self):
        session = np.arange(0, 3600, 5)
        got = reasons(np.arange(0, 10_000, 60), np.concatenate([session, session + 6 * 3600]))
        assert got[:59] == [""] * 59
        assert got[59] == "halt"
        assert set(got[60:]) == {"late_entry"}


class TestAsOf:
    def join(self, ends_s, decision_s, **kwargs):
        rows = pl.DataFrame({"decision_us": [T0 + decision_s * S]})
        return dataset.join_features(rows, feature_rows(ends_s, **kwargs), SETTINGS).row(
            0, named=True
        )

    def test_the_newest_row_that_ended_by_the_decision_counts(self):
        assert self.join([58, 60, 61], 60)["log_return_1m"] == 60
        assert self.join([58, 61], 60)["log_return_1m"] == 58

    def test_each_level_is_as_of_the_decision_by_itself(self):
        views = feature_rows([10, 50, 59])
        views["tick_10s"] = views["tick_10s"].filter(pl.col("event_time_us") <= T0 + 50 * S)
        views["tick_1m"] = views["tick_1m"].filter(pl.col("event_time_us") <= T0 + 10 * S)
        row = dataset.join_features(
            pl.DataFrame({"decision_us": [T0 + 60 * S]}), views, SETTINGS
        ).row(0, named=True)
        assert [row[name] for name in ("log_return_1m", "log_return_5m", "log_return_1h")] == [
            59,
            50,
            10,
        ]
        assert row["row_reason"] == ""

    @pytest.mark.parametrize(("age_s", "reason"), [(300, ""), (301, "no_row:tick_1s")])
    def test_a_row_is_usable_for_the_tolerance_and_no_longer(self, age_s, reason):
        assert self.join([0], age_s)["row_reason"] == reason

    @pytest.mark.parametrize(
        ("known_after_s", "reason"), [(5, ""), (5.000001, "known_late:tick_1s")]
    )
    def test_a_row_that_became_known_after_the_entry_is_not_trained_on(self, known_after_s, reason):
        assert self.join([60], 60, known_after_s=known_after_s)["row_reason"] == reason

    @pytest.mark.parametrize("value", [math.nan, math.inf, None])
    def test_an_unusable_core_feature_drops_the_row_by_name(self, value):
        views = feature_rows([60])
        views["tick_10s"] = views["tick_10s"].with_columns(
            pl.lit(value, dtype=pl.Float64).alias("bipower_vol_5m")
        )
        row = dataset.join_features(
            pl.DataFrame({"decision_us": [T0 + 60 * S]}), views, SETTINGS
        ).row(0, named=True)
        assert row["row_reason"] == "null:bipower_vol_5m"


def busy_market(seed=5, minutes=120, symbols=("SYNTH:AAAUSD", "SYNTH:BBBUSD")):
    rng = np.random.default_rng(seed)
    parts, views = [], []
    for symbol in symbols:
        times = np.sort(rng.uniform(0, minutes * 60, minutes * 12))
        parts.append(
            ticks(times, 100 * np.exp(rng.standard_normal(len(times)).cumsum() * 1e-4), symbol)
        )
        views.append(feature_rows(np.arange(1, minutes * 60, 7), symbol))
    return pl.concat(parts), join(*views)


class TestBuild:
    def test_columns_order_and_conservation(self):
        market, views = busy_market()
        made = build_dataset(market, views, T0, T0 + DAY, SETTINGS)
        assert made.frame.columns == list(SCHEMA)
        assert made.frame.sort("decision_us", "symbol").equals(made.frame)
        grid = sum(
            len(
                dataset.decision_grid(
                    int(own["event_time_us"].min()), int(own["event_time_us"].max()) + 1, 60 * S
                )
            )
            for own in market.partition_by("key")
        )
        assert len(made.frame) + sum(made.dropped.values()) == grid
        assert made.symbols == ["SYNTH:AAAUSD", "SYNTH:BBBUSD"]
        assert dataset.feature_matrix(made.frame).shape == (len(made.frame), len(CORE))

    def test_a_poisoned_future_changes_nothing_before_it(self):
        market, views = busy_market()
        cut = T0 + 3600 * S
        poisoned = market.with_columns(
            pl.when(pl.col("event_time_us") > cut).then(1e9).otherwise("price").alias("price")
        )
        dirt = {
            view: frame.with_columns(
                pl.when(pl.col("event_time_us") > cut).then(-1e9).otherwise(pl.col(n)).alias(n)
                for n in frame.columns[3:]
            )
            for view, frame in views.items()
        }
        clean, dirty = (
            build_dataset(m, v, T0, T0 + DAY, SETTINGS).frame
            for m, v in ((market, views), (poisoned, dirt))
        )
        before = pl.col("exit_us") <= cut
        assert clean.filter(before).equals(dirty.filter(before))
        features = pl.col("decision_us") <= cut
        assert clean.filter(features).select(CORE).equals(dirty.filter(features).select(CORE))

    def test_cutting_the_feed_leaves_every_row_that_was_complete(self):
        market, views = busy_market()
        whole = build_dataset(market, views, T0, T0 + DAY, SETTINGS).frame
        for cut_s in (1800, 3600, 5400):
            cut = T0 + cut_s * S
            short_views = {
                view: frame.filter(pl.col("event_time_us") <= cut) for view, frame in views.items()
            }
            short = build_dataset(
                market.filter(pl.col("event_time_us") <= cut), short_views, T0, T0 + DAY, SETTINGS
            ).frame
            assert short.equals(whole.filter(pl.col("exit_us") <= cut))

    def test_the_fingerprint_follows_the_rows_alone(self):
        market, views = busy_market()
        made = build_dataset(market, views, T0, T0 + DAY, SETTINGS)
        again = build_dataset(
            market.sample(fraction=1, shuffle=True, seed=3), views, T0, T0 + DAY, SETTINGS
        )
        assert made.fingerprint == again.fingerprint
        nudged = made.frame.with_columns(pl.col("y") + 1e-12)
        assert dataset.fingerprint(nudged) != made.fingerprint

    def test_ranges_are_half_open_and_a_symbol_without_features_is_counted(self):
        market, views = busy_market()
        first, last = T0 + 1200 * S, T0 + 1800 * S
        lone = {
            view: frame.filter(pl.col("symbol") == "SYNTH:AAAUSD") for view, frame in views.items()
        }
        made = build_dataset(market, lone, first, last, SETTINGS)
        assert made.frame["decision_us"].to_list() == list(range(first, last, 60 * S))
        assert made.dropped == {"no_row:tick_1s": 10}

    def test_nothing_to_train_on_is_said_clearly(self):
        market, views = busy_market(minutes=5)
        with pytest.raises(DatasetError, match="range is empty"):
            build_dataset(market, views, T0, T0, SETTINGS)
        with pytest.raises(DatasetError, match="no ticks"):
            build_dataset(market.clear(), views, T0, T0 + DAY, SETTINGS)
        with pytest.raises(DatasetError, match="no_row:tick_1s"):
            build_dataset(
                market,
                {level.view: views[level.view].clear() for level in LEVELS},
                T0,
                T0 + DAY,
                SETTINGS,
            )


class TestLeak:
    """No signal, half-spread 2 bp: bounce forecasts a last-price label well, and this label not at
    all.
    """

    def market(self, seed):
        rng = np.random.default_rng(seed)
        times = np.sort(rng.uniform(0, 20 * 86_400, 20 * 86_400 // 5))
        mid = np.cumsum(
            8.3e-4 * np.sqrt(np.diff(times, prepend=0) / 60) * rng.standard_normal(len(times))
        )
        side = rng.choice([-1, 1], len(times))
        return ticks(times, 100 * np.exp(mid + 2e-4 * side)), side

    @pytest.mark.parametrize("seed", [1, 2])
    def test_information_coefficient_is_noise_with_this_label_and_not_with_the_naive_one(
        self, seed
    ):
        market, side = self.market(seed)
        decision = T0 + np.arange(1, 20 * 1440 - 5) * 60 * S
        times, prices = market["event_time_us"].to_numpy(), market["price"].to_numpy()
        last, next_last = (
            np.searchsorted(times, decision + ahead, side="right") - 1 for ahead in (0, 60 * S)
        )
        bounce = -side[last].astype(float)  # what any feature that sees the last price knows
        naive = np.corrcoef(bounce, np.log(prices[next_last] / prices[last]))[0, 1]
        made = dataset.label_decisions(decision, market, SETTINGS)
        fine = (made["label_reason"] == "").to_numpy()
        ours = np.corrcoef(bounce[fine], made["y"].to_numpy()[fine])[0, 1]
        assert naive > 0.15
        assert abs(ours) < 3 / np.sqrt(fine.sum())


def test_label_columns_are_the_schemas_last():
    assert tuple(SCHEMA)[-len(LABEL_COLUMNS) :] == LABEL_COLUMNS
