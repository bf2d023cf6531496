"""Two versions on the same moments: the one that sees more is told from the one that sees less, and
from itself it is not.
"""

import json

import numpy as np
import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from training.monitoring import champion_challenger

START, SECOND = 1_700_000_000_000_000, 1_000_000
N = 3000


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def rows(noise_production, noise_challenger, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 10, N)
    guesses = {
        name: 0.5 * y + rng.normal(0, noise, N)
        for name, noise in (("production", noise_production), ("challenger", noise_challenger))
    }
    return pl.DataFrame(
        {"symbol": "A:B", "decision_us": START + np.arange(N) * 60 * SECOND, **guesses, "y_bps": y}
    )


def test_the_better_one_is_better_and_the_other_way_round_worse(settings):
    found = champion_challenger.evaluate_pairs(rows(20, 1), ("1", "2"), settings)
    assert found.verdict == "better" and found.low_bps > 0 and found.p_value < 0.01
    assert (
        found.challenger.rank_ic > found.production.rank_ic
        and found.challenger.rmse_bps < found.production.rmse_bps
    )
    assert champion_challenger.evaluate_pairs(rows(1, 20), ("1", "2"), settings).verdict == "worse"


def test_two_alike_are_undecided(settings):
    assert (
        champion_challenger.evaluate_pairs(rows(10, 10), ("1", "2"), settings).verdict
        == "undecided"
    )
    same = rows(5, 5).with_columns(challenger="production")
    found = champion_challenger.evaluate_pairs(same, ("1", "2"), settings)
    assert (found.gain_bps, found.verdict, found.p_value) == (0.0, "undecided", 1.0)


def test_a_trade_costs_both_ways_and_a_weak_guess_is_none(settings):
    y, guess = np.array([5.0, 5.0, -5.0]), np.array([3.0, 1.0, 3.0])
    assert champion_challenger.net_returns(guess, y, settings).tolist() == [3.0, 0.0, -7.0]


def test_only_moments_that_both_answered_count_and_the_first_answer_of_each():
    def record(version, second, bps, served=0):
        times = json.dumps({"tick_1s": START + second * SECOND, "tick_1m": START})
        return {
            "symbol": "A:B",
            "served_at_us": START + served,
            "model_version": version,
            "prediction_bps": bps,
            "event_times_us": times,
        }

    records = [
        record("1", 1, 1.0, 5),
        record("1", 1, 9.0, 6),
        record("2", 1, 2.0, 5),
        record("1", 2, 3.0),
        record("2", 3, 4.0),
    ]
    found = champion_challenger.pair_answers(pl.DataFrame(records), "1", "2")
    assert found.rows() == [("A:B", START + SECOND, 1.0, 2.0)]


def test_too_little_in_common_is_said(settings, monkeypatch):
    empty = pl.DataFrame(
        schema={
            name: pl.String if name != "prediction_bps" else pl.Float64
            for name in champion_challenger.FIELDS
        }
        | {"served_at_us": pl.Int64}
    )
    monkeypatch.setattr(champion_challenger, "_read_predictions", lambda *_: empty)
    with pytest.raises(DatasetError, match="0 moments in common"):
        champion_challenger.compare_versions(settings, START, START + SECOND, "1", "2")


def test_the_outcome_is_the_label_of_the_training(settings, monkeypatch):
    seconds = np.arange(0, 400)
    ticks = pl.DataFrame(
        {
            "venue": "A",
            "symbol": "B",
            "key": "A:B",
            "event_time_us": START + seconds * SECOND,
            "seq": seconds,
            "price": np.exp(seconds * 1e-4),
        }
    )
    monkeypatch.setattr(champion_challenger.Lakehouse, "read_ticks", lambda *_: ticks)
    moments = pl.DataFrame(
        {
            "symbol": ["A:B", "A:B", "A:C"],
            "decision_us": [START, START + 390 * SECOND, START],
            "production": 1.0,
            "challenger": 1.0,
        }
    )
    found = champion_challenger.add_outcomes(settings, moments)
    assert found["decision_us"].to_list() == [START]
    assert found["y_bps"][0] == pytest.approx(60.0)
