"""Metrics of the exported power model against a computation by hand; card and plot of them."""

import math

import numpy as np
import polars as pl
import pytest

from contracts.config.settings import Settings
from contracts.durations import DAY_US, HOUR_US
from models import runtime
from tests.support.power_data import T0, readings
from training.power import card, evaluate, features, files, model, plot
from training.power.split import split_by_time

DAYS = 60
END_US = T0 + DAYS * DAY_US


def quiet(step, done, total):
    pass


@pytest.fixture(scope="module")
def parts():
    rows = files.to_silver(readings(DAYS), "made up")
    hours = features.add_features(features.hourly_power(rows, "total", END_US))
    return split_by_time(features.training_samples(hours), END_US, 14, 7)


@pytest.fixture(scope="module")
def evaluation(parts, tmp_path_factory):
    fitted = model.fit_model(parts, Settings(train_threads=1), quiet)
    exported = evaluate.export_model(fitted, parts, "total", tmp_path_factory.mktemp("model"))
    loaded = runtime.load_model(exported.folder, exported.digest)
    return evaluate.evaluate_export(exported, parts), loaded


def rmse(errors):
    return math.sqrt(sum(error * error for error in errors) / len(errors))


def test_the_errors_are_those_of_a_loop_over_the_hours(parts, evaluation):
    metrics = evaluation[0].metrics
    test = evaluation[0].test
    actual = dict(zip(test["event_time_us"], test["kw"], strict=True))
    history = dict(parts.train.select("event_time_us", "kw").iter_rows()) | actual
    errors = [row["forecast_kw"] - row["kw"] for row in test.iter_rows(named=True)]
    assert metrics["test_rmse"] == pytest.approx(rmse(errors))
    assert metrics["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))
    for lag in (24, 168):
        naive = [history[time - lag * HOUR_US] - kw for time, kw in actual.items()]
        assert metrics[f"test_rmse.naive_{lag}"] == pytest.approx(rmse(naive))
    kw = parts.train["kw"].to_list()
    mean = sum(kw) / len(kw)
    assert metrics["train_std"] == pytest.approx(rmse([each - mean for each in kw]))
    best = min(metrics["test_rmse.naive_24"], metrics["test_rmse.naive_168"])
    assert metrics["skill"] == pytest.approx(1 - metrics["test_rmse"] / best)
    assert metrics["rmse_over_train_std"] == metrics["rmse_over_train_std.model"]
    assert metrics["test_days"] == 14


def test_too_few_test_days_are_refused_and_the_thresholds_are_still_known(evaluation):
    verdict = evaluation[0].verdict
    assert "test_days 14 is not >= 28" in verdict.reasons
    assert verdict.threshold_pass
    assert (evaluation[0].metrics["threshold_pass"], evaluation[0].metrics["gate_pass"]) == (1, 0)


def test_the_exported_model_knows_its_series_and_the_end_of_its_training(parts, evaluation):
    loaded = evaluation[1]
    assert (loaded.trained_on, loaded.horizon_s) == ("power:total", 86_400)
    assert loaded.trained_to_us == parts.test["event_time_us"][0]


def test_the_card_has_checks_periods_and_reasons(parts, evaluation):
    evaluated = evaluation[0]
    text = card.write_card("total", parts, evaluated.verdict, evaluated.metrics, {"a": 1}, "abc")
    assert "| test_days | 14 | >= 28 | **no** |" in text
    assert "**Refused by the gate**" in text
    assert "- test_days 14 is not >= 28" in text
    assert "- fit: 2017-01-08T00:00:00+00:00 to 2017-02-08T23:00:00+00:00, 768 hours" in text
    assert "- test: 2017-02-16T00:00:00+00:00 to 2017-03-01T23:00:00+00:00, 336 hours" in text
    assert "`abc`" in text


def test_the_plot_shows_the_last_days_and_the_error_of_each():
    hours = np.arange(20 * 24)
    test = pl.DataFrame({"event_time_us": T0 + hours * HOUR_US, "kw": 100.0, "forecast_kw": 103.0})
    upper, lower = plot.plot_forecast(test, "title").axes
    assert [len(line.get_xdata()) for line in upper.lines] == [14 * 24] * 2
    assert [bar.get_height() for bar in lower.patches] == pytest.approx([3.0] * 20)
    assert upper.get_title() == "title"


def test_errors_have_the_unit_of_their_arguments():
    forecast = np.array([1.0, 2.0, 5.0])
    actual = np.array([1.0, 4.0, 1.0])
    assert model.rmse(forecast, actual) == pytest.approx(math.sqrt(20 / 3))
    assert model.mae(forecast, actual) == 2.0
