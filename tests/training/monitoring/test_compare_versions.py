"""Which versions are compared, when there is too little, and which comparison the API shows."""

import math
from types import SimpleNamespace

import numpy as np
import orjson
import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError
from contracts.redis_keys import COMPARISON_KEY
from models.versions import ModelVersion
from training.monitoring import champion_challenger
from training.monitoring.champion_challenger import compare_versions

START, SECOND, DAY = 1_700_006_400_000_000, 1_000_000, 86_400_000_000
MOMENTS = 200


def version(number, **roles):
    return ModelVersion(
        "m", number, "", roles.get("production", False), 0, "", "", {}, "challenger" in roles
    )


def predictions(moments=MOMENTS, versions=("1", "2")):
    """Both versions answer each minute."""
    times = START + np.arange(moments) * 60 * SECOND
    parts = [
        pl.DataFrame(
            {
                "symbol": "V:A",
                "served_at_us": times + 5,
                "model_version": number,
                "prediction_bps": float(number),
                "event_times_us": [orjson.dumps({"tick_1s": int(t)}).decode() for t in times],
            }
        )
        for number in versions
    ]
    return pl.concat(parts)


def ticks(seconds):
    return pl.DataFrame(
        {
            "venue": "V",
            "symbol": "A",
            "key": "V:A",
            "event_time_us": START + np.arange(seconds) * SECOND,
            "seq": np.arange(seconds),
            "price": np.exp(np.arange(seconds) * 1e-5),
        }
    )


@pytest.fixture
def world(monkeypatch):
    """A registry with two versions, their predictions, and a market; all can be replaced."""

    class World:
        versions = [version("2", challenger=True), version("1", production=True)]
        predictions = predictions()
        ticks = ticks(MOMENTS * 60 + 500)
        published = []

    world = World()
    world.published = []
    registry = SimpleNamespace(list_versions=lambda: world.versions)
    monkeypatch.setattr(champion_challenger, "Registry", lambda _: registry)
    monkeypatch.setattr(champion_challenger, "_read_predictions", lambda *_: world.predictions)
    monkeypatch.setattr(champion_challenger.Lakehouse, "read_ticks", lambda *_: world.ticks)
    monkeypatch.setattr(
        champion_challenger.signals,
        "publish",
        lambda _, key, content: world.published.append((key, orjson.loads(content))),
    )
    return world


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, model_name="m")


def test_the_default_is_production_against_challenger_and_is_published(settings, world):
    comparison = compare_versions(settings, START, START + DAY)
    assert (comparison.production.version, comparison.challenger.version) == ("1", "2")
    assert comparison.moments == MOMENTS
    ((key, content),) = world.published
    assert key == COMPARISON_KEY
    assert content.pop("taken_us") > 0
    assert content["verdict"] == comparison.verdict
    assert content["champion"]["version"] == "1"
    assert "curve_us" not in content


@pytest.mark.parametrize("chosen", [{"production": "1"}, {"challenger": "2"}])
def test_a_comparison_of_chosen_versions_is_not_published(settings, world, chosen):
    compare_versions(settings, START, START + DAY, **chosen)
    assert world.published == []


def test_a_trial_that_ended_meanwhile_is_not_published(settings, world, monkeypatch):
    def promote(*_):
        world.versions = [version("2", production=True), version("1")]
        return world.predictions

    monkeypatch.setattr(champion_challenger, "_read_predictions", promote)
    assert compare_versions(settings, START, START + DAY).challenger.version == "2"
    assert world.published == []


@pytest.mark.parametrize(
    ("versions", "role"),
    [
        ([version("2", challenger=True)], "production"),
        ([version("1", production=True)], "challenger"),
    ],
)
def test_a_role_without_a_version_is_named(settings, world, versions, role):
    world.versions = versions
    with pytest.raises(DatasetError, match=f"m has no {role} version"):
        compare_versions(settings, START, START + DAY)


def test_too_few_common_moments_and_too_few_outcomes_are_different_errors(settings, world):
    world.predictions = predictions(champion_challenger.MOMENTS_MIN - 1)
    with pytest.raises(DatasetError, match="have 99 moments in common"):
        compare_versions(settings, START, START + DAY)
    world.predictions = predictions()
    world.ticks = ticks(50 * 60)
    with pytest.raises(DatasetError, match="only 49 of 200 moments have an outcome") as error:
        compare_versions(settings, START, START + DAY)
    assert "horizon" in error.value.hint
    world.ticks = ticks(0)
    with pytest.raises(DatasetError, match="only 0 of 200"):
        compare_versions(settings, START, START + DAY)


def test_a_trade_earns_the_outcome_less_the_round_trip(settings, world):
    """The price rises by 1e-5 a second: 6 bp in the minute between entry and exit."""
    production = compare_versions(settings, START, START + DAY, "1", "2").production
    assert (production.hits, production.trades) == (1.0, 0)
    assert math.isnan(production.net_bps)
    world.predictions = world.predictions.with_columns(pl.col("prediction_bps") * 10)
    comparison = compare_versions(settings, START, START + DAY, "1", "2")
    assert comparison.production.trades == comparison.challenger.trades == MOMENTS
    assert comparison.production.net_bps == pytest.approx(6 - 2 * settings.cost_bp)
    assert comparison.production.rmse_bps == pytest.approx(4)
    assert comparison.challenger.rmse_bps == pytest.approx(14)
    assert comparison.gain_bps == 0
    assert comparison.curves_bps[0][-1] == pytest.approx(MOMENTS * comparison.production.net_bps)
