"""Printed results of power trainings and forecasts."""

import polars as pl
import pytest

from cli.models.power import _is_refused
from cli.reports import power_report
from tests.cli.reports.reports import PASSED, REFUSED
from training.power.all_steps import PowerTraining
from training.power.backfill import BackfillDay
from training.power.forecast import DayForecast

METRICS = {
    "skill": 0.256,
    "rmse_over_train_std": 0.1234,
    **{f"test_rmse.{name}": 1_234.5 for name in power_report.FORECASTS},
    **{f"rmse_over_train_std.{name}": 0.1234 for name in power_report.FORECASTS},
}


@pytest.fixture
def printed(monkeypatch, capsys):
    """Calls a function that prints; returns its output at a width of 160 columns."""
    monkeypatch.setenv("COLUMNS", "160")

    def call(function, value) -> str:
        function(value)
        return capsys.readouterr().out

    return call


def training(**fields) -> PowerTraining:
    defaults = {
        "run_id": "f" * 32,
        "series": "total",
        "day": "2017-12-30",
        "verdict": PASSED,
        "metrics": METRICS,
        "version": "7",
        "promoted": True,
        "repeated": False,
        "train_rows": 8_000,
        "test_rows": 700,
    }
    return PowerTraining(**{**defaults, **fields})


def forecast(**fields) -> DayForecast:
    rows = pl.DataFrame({"forecast_kw": [70_000.4] * 24, "actual_kw": [69_000.6] + [None] * 23})
    defaults = {
        "day": "2017-12-31",
        "series": "zone1",
        "model": "power-forecast",
        "version": "7",
        "rows": rows,
        "filled": 1,
    }
    return DayForecast(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "promoted: version 7 is Production\n"),
        ({"repeated": True}, "promoted: version 7 is Production (the same content was registered"),
        ({"promoted": False}, "passed: version 7; the Production model was trained on later data"),
        (
            {"version": None, "promoted": False, "verdict": REFUSED},
            "refused, nothing registered: sharpe 0.5 is not > 1; the data ends too early",
        ),
    ],
)
def test_the_outcome_of_a_training_is_its_last_line(printed, fields, outcome):
    output = printed(power_report.print_training, training(**fields))
    assert outcome in output.splitlines()[-1] + "\n"


def test_a_training_shows_its_gate_its_errors_and_its_run(printed):
    output = printed(power_report.print_training, training())
    assert "The gate for total, data through 2017-12-30" in " ".join(output.split())
    for name in power_report.FORECASTS:
        assert f"│ {name} " in output
    assert "1,234" in output and "0.123" in output
    assert f"8,000 training and 700 test hours; MLflow run {'f' * 32}" in output


@pytest.mark.parametrize(
    ("day", "cells"),
    [
        (
            BackfillDay("2017-12-30", training(), forecast(), ""),
            ["2017-12-30", "0.123", "+25.6%", "7", "version 7", ""],
        ),
        (
            BackfillDay("2017-12-30", training(repeated=True), None, "no model is old enough"),
            ["2017-12-30", "0.123", "+25.6%", "7 (again)", "–", "no model is old enough"],
        ),
        (
            BackfillDay("2017-12-30", training(version=None, verdict=REFUSED), None, ""),
            ["2017-12-30", "0.123", "+25.6%", "refused", "–", "; ".join(REFUSED.reasons)],
        ),
        (
            BackfillDay("2017-12-30", None, None, "too few readings"),
            ["2017-12-30", "–", "–", "–", "–", "too few readings"],
        ),
    ],
    ids=["promoted", "without a forecast", "refused", "failed"],
)
def test_each_day_of_a_range_has_a_row(printed, day, cells):
    output = printed(power_report.print_days, [day])
    rows = [line for line in output.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == cells
    assert len(rows) == 1


def test_no_day_is_a_table_without_rows(printed):
    output = printed(power_report.print_days, [])
    assert "One training per day" in output
    assert "│" not in output.replace("┃", "")


def test_a_forecast_has_24_hours_and_a_dash_for_those_to_come(printed):
    output = printed(power_report.print_forecast, forecast())
    assert "zone1 on 2017-12-31, by power-forecast version 7" in " ".join(output.split())
    rows = [line.strip("│").split("│") for line in output.splitlines() if line.startswith("│")]
    table = [[cell.strip() for cell in row] for row in rows]
    assert table[0] == ["00:00", "70,000", "69,001"]
    assert table[23] == ["23:00", "70,000", "–"]
    assert len(table) == 24
    assert "1 actuals written" in output


def test_a_day_that_failed_is_not_one_that_was_refused():
    refused = BackfillDay("d", training(version=None, verdict=REFUSED), None, "")
    assert _is_refused(refused)
    assert not _is_refused(BackfillDay("d", None, None, "failed"))
    assert not _is_refused(BackfillDay("d", training(), None, ""))
